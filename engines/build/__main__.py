"""From a checkpoint to the weights that run, and from those to int8 for the CPU; each checked on real inputs.

python -m engines.build --checkpoint runs/live/checkpoint.pt --out engines/weights/lifter.onnx
python -m engines.build --checkpoint runs/hourglass/checkpoint.pt --out engines/weights/hourglass.onnx
python -m engines.build --int8 engines/weights/lifter.onnx        # writes lifter.int8.onnx beside it
python -m engines.build --int8 engines/weights/hourglass.onnx
python -m engines.build --int8 engines/weights/movenet_multipose.onnx
python -m engines.build --movenet WHOLE.onnx --out engines/weights/movenet_thunder.onnx
python -m engines.build --covariance engines/weights/movenet_thunder.onnx     # writes into its card
"""

import argparse
import sys
from pathlib import Path

from calibration.errors import UserError
from engines import lifter, temporal
from engines.argument_types import Parser
from engines.build.kinds import build, build_cut, build_int8, calibrate_covariance
from engines.detectors.hourglass import WEIGHTS
from engines.training.data import where


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(
        prog="python -m engines.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--checkpoint", type=Path, help="checkpoint.pt of a training of a lifter or of the hourglass")
    wanted.add_argument("--int8", type=Path, metavar="ONNX", help="weights with their card, to make int8 for the CPU")
    wanted.add_argument("--movenet", type=Path, metavar="ONNX",
                        help="a whole MoveNet as converted from Google's, with its card, to cut at its heads; "
                        "needs --out")  # fmt: skip
    wanted.add_argument("--covariance", type=Path, metavar="ONNX",
                        help="weights whose card is to say how unsure their joints are")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="ONNX",
                        help=f"the file to write; default: {lifter.SHIPPED.name}, {temporal.SHIPPED_TEMPORAL.name} or "
                        f"{WEIGHTS['hourglass']} of "
                        "engines/weights, or NAME.int8.onnx beside NAME.onnx")  # fmt: skip
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32",
                        help="of a checkpoint's network: fp32 (weights stored as fp16); fp16: all of it, for a "
                        "GPU's compiler")  # fmt: skip
    where.add_argument(parser, "--data", "mocap", "of a lifter: folder of the mocap files")
    where.add_argument(parser, "--images", "lspet/images.tar", "of a detector: tar or folder of photographs")
    where.add_argument(parser, "--joints", "lspet/joints.npz", "their labels")
    parser.add_argument("--calibration", type=Path, metavar="FOLDER",
                        help="of an int8 detector: pictures of one person each to find its ranges on")  # fmt: skip
    args = parser.parse_args(arguments)
    if not args.checkpoint and args.precision == "fp16":
        parser.error("--precision is of --checkpoint")
    if args.precision == "fp16" and args.out is None:
        parser.error("--precision fp16 is not what is shipped: say where to with --out")
    if args.movenet and args.out is None:
        parser.error("--movenet WHOLE.onnx: say where to with --out")
    if args.covariance and args.out:
        parser.error("--covariance writes into the card beside the weights: leave out --out")
    if args.calibration and not args.int8:
        parser.error("--calibration is of --int8")
    try:
        if args.int8:
            out, report = build_int8(args.int8, args.out, args.data, args.images, args.joints, args.calibration)
        elif args.covariance:
            out, report = calibrate_covariance(args.covariance, args.images, args.joints)
        elif args.movenet:
            out, report = build_cut(args.movenet, args.out, args.images, args.joints)
        else:
            out, report = build(args.checkpoint, args.out, args.precision, args.data, args.images, args.joints)
    except (UserError, OSError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    print(f"wrote {out}: " + ", ".join(f"{key} {value:.4g}" for key, value in report.items()))
    if args.checkpoint and "lspet_pck" in report:
        print(
            f"to do: write demo_pck (python -m benchmarks.detector_views) and cost_ms (`ms` of evaluate_detector) "
            f"into {out.with_suffix('.toml')}; until then `auto` takes it for the least accurate"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
