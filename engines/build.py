"""From a checkpoint to the weights that run: torch -> ONNX, checked against torch on real inputs.

python -m engines.build --checkpoint runs/live/checkpoint.pt --out engines/weights/lifter.onnx
python -m engines.build --checkpoint runs/paper/checkpoint.pt --out runs/paper/paper.onnx
"""

import argparse
import copy
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from calibration.errors import UserError
from engines import cards, mdn, runtimes
from engines.models.mdn import MDN, MaxNormLinear
from engines.training import lifters, paper, recalibrate
from engines.training.batches import evaluation_batch
from engines.training.evaluate import evaluate
from engines.training.mocap import TEST_SUBJECTS, VALIDATION_SUBJECTS, load_training
from engines.training.observe import laboratory_views
from engines.training.train_mdn import Settings, build, load_checkpoint

OUTPUTS = ("mean", "sigma", "log_weight")
MAX_PARITY_MM = 3.0
"""A build whose hypotheses differ more from torch's than this, anywhere in 1000 real inputs, is refused."""


def fold(network: MDN) -> MDN:
    """A copy of an eval-mode network with norms clipped and batch norms folded into the linear layers, no dropout."""
    folded = copy.deepcopy(network).eval()
    for head in ("mean", "sigma"):
        setattr(folded, head, _plain(getattr(folded, head)))
    for layer in folded.modules():
        if isinstance(layer, nn.Sequential) and len(layer) == 4:
            linear, norm = _plain(layer[0]), layer[1]
            if isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                layer[0] = nn.utils.fusion.fuse_linear_bn_eval(linear, norm)
                layer[1], layer[3] = nn.Identity(), nn.Identity()
    return folded


def _plain(layer: nn.Module) -> nn.Module:
    """A layer that clips the norm of its matrix as one that has it clipped."""
    if not isinstance(layer, MaxNormLinear):
        return layer
    linear = nn.Linear(layer.in_features, layer.out_features).train(layer.training)
    linear.weight.data, linear.bias.data = layer.clipped().data, layer.bias.data
    return linear


def export(network: MDN, path: Path) -> None:
    """Write an ONNX file with a free batch axis and its weights stored as fp16, computed in fp32."""
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    # torch 2.13 warns of a deprecation inside itself, and that it has no torchvision, which nothing here needs.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*treespec.*")
        torch.onnx.export(
            fold(network), (torch.zeros(2, network.shape.inputs),), str(path), input_names=["x"], output_names=OUTPUTS,
            dynamic_shapes=({0: batch},), opset_version=20, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    model = onnx.load(path)
    # Value infos are torch's own shapes; they go stale with the casts below and stop quantisation tools later.
    del model.graph.value_info[:]
    store_half(model)
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def store_half(model: onnx.ModelProto) -> None:
    """Store every large fp32 weight as fp16 with a cast behind it, which runtimes fold away when they load."""
    graph, casts = model.graph, []
    for weight in list(graph.initializer):
        array = onnx.numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < 256:
            continue
        half = onnx.numpy_helper.from_array(array.astype(np.float16), f"{weight.name}_half")
        graph.initializer.remove(weight)
        graph.initializer.append(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def parity(network: MDN, path: Path, x: NDArray[np.float32], scale_mm: float | NDArray) -> dict[str, float]:
    """Largest and mean distance, mm, between hypotheses of torch and of the file for inputs x (N, 54 or 32).

    ``scale_mm``: millimetres of one unit of the outputs, or (16, 3) of each of them.
    """
    with torch.inference_mode():
        wanted = network.eval()(torch.from_numpy(x))[0].numpy()
    got = runtimes.load(path)(x=x)["mean"]
    distance = np.linalg.norm((got - wanted) * scale_mm, axis=-1)
    return {"parity_max_mm": float(distance.max()), "parity_mean_mm": float(distance.mean())}


LICENCES = {
    "mocap": "MIT for the weights; the motion capture they were trained on: CMU Graphics Lab Motion Capture "
             "Database (mocap.cs.cmu.edu, NSF EIA-0196217; free to use) and HDM05 (Mueller et al. 2007, CC BY-SA 3.0)",
    "other": "trained on data under its own terms (Human3.6M: academic use only): not to be passed on without them",
}  # fmt: skip
INPUTS = {
    "virtual": "float32 x (batch, 54): 17 x (x, y) in the virtual camera, 17 visible bits, (known, sin, cos) of the "
               "pitch; see engines/mdn.py",
    "pixels": "float32 x (batch, 32): z-scored pixels of the 17 joints without the neck/nose, 0 where missing; see "
              "engines/training/paper.py",
}  # fmt: skip
Values = Mapping[str, float | int | str | list[float]]


def write_card(path: Path, source: str, values: Values, input: str = "virtual", data: str = "mocap") -> None:
    """Write the card of a lifter beside its weights."""
    lines = [
        f'source = "{source}"',
        f'licence = "{LICENCES.get(data, LICENCES["other"])}"',
        f'sha256 = "{cards.digest(path)}"',
        'joints = "h36m17 without the root"',
        f'input = "{INPUTS[input]}"',
        "",
        "[values]",
        *(f'{key} = "{v}"' if isinstance(v, str) else f"{key} = {v}" for key, v in values.items()),
    ]
    path.with_suffix(".toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def build_lifter(checkpoint: Path, data: Path, out: Path) -> dict[str, float]:
    """Export a checkpoint, fit its temperature and sigma scale, check it, and write its card.

    Returns:
        The parity report.

    Raises:
        UserError: if the checkpoint or the data cannot be read, or the file differs too much from torch.
    """
    state = load_checkpoint(checkpoint)
    settings = Settings(**state["settings"])
    network = build(settings)
    network.load_state_dict(state["averaged"])
    network.eval()
    _, validation, test = load_training(data)
    # Built apart and moved in place when it is whole: the old file stays good until then.
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / out.name
        export(network, built)
        norm: paper.Normalisation | None = None
        if settings.input == "pixels":
            norm = paper.normalisation_from(state.get("normalisation", {}), str(checkpoint))
            seen = laboratory_views(validation.select(np.arange(0, len(validation), 20)), noise=2.0)
            report = parity(network, built, norm.encode(seen.xy, seen.seen), norm.std_3d)
            values: dict[str, float | int | str | list[float]] = {"input": "pixels", **norm.numbers()}
        else:
            batch, _ = evaluation_batch(validation.joints[:1000], np.random.default_rng(0), noise=2.0)
            report = parity(network, built, batch.inputs, settings.scale_mm)
            values = {"scale_mm": settings.scale_mm}
        if report["parity_max_mm"] > MAX_PARITY_MM:
            raise UserError(f"the build differs from torch by up to {report['parity_max_mm']:.2f} mm; it was not kept")
        if settings.loss == "mse":
            fitted = {"temperature": 1.0, "sigma_scale": 1.0, "loss": "mse"}
        elif norm:
            fitted = recalibrate.fit_pixels(network, validation, norm)
        else:
            fitted = recalibrate.fit(network, validation, settings.scale_mm)
        values |= {
            "kernels": settings.kernels, **fitted, **report,
            "samples": state["done"], "seed": settings.seed, "width": settings.width, "blocks": settings.blocks,
            "dropout": settings.dropout, "sigma": settings.sigma, "prior": settings.prior,
            "test_subjects": ", ".join(TEST_SUBJECTS), "validation_subjects": ", ".join(VALIDATION_SUBJECTS),
        }  # fmt: skip
        length = f"--epochs {settings.epochs}" if settings.epochs else f"--samples {settings.samples}"
        preset = "--preset paper " if settings.input == "pixels" else ""
        source = f"trained here: python -m engines.training.train_mdn {preset}{length}"
        card = settings.input, state.get("data", "mocap")
        write_card(built, source, values, *card)
        # What the card states is measured on the file itself, through the runtime that users get.
        lifter = lifters.load(built)
        for prefix, noise in (("", 0.0), ("noise2_", 2.0)):
            result = evaluate(lifter, test, noise)
            values |= {prefix + key: round(result[key], 2) for key in result if key.endswith("mpjpe_mm")}
        write_card(built, source, values, *card)
        for path in (built, built.with_suffix(".toml")):
            shutil.move(path, out.with_suffix(path.suffix))
    return report


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.pt of train_mdn")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mocap"), help="folder of the mocap files")
    parser.add_argument("--out", type=Path, default=mdn.SHIPPED, help="the ONNX file to write")
    args = parser.parse_args(arguments)
    try:
        report = build_lifter(args.checkpoint, args.data, args.out)
    except UserError as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    print(f"wrote {args.out}: " + ", ".join(f"{key} {value:.4f}" for key, value in report.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
