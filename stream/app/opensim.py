"""``python -m stream opensim``: a take in OpenSim."""

import re
from pathlib import Path

from calibration import writing
from calibration.errors import UserError
from engines.argument_types import DONE, MISTAKE, Parser, positive
from stream.app import demo
from stream.app.console import ended, say, tell
from stream.app.signals import leave_on_interrupt
from stream.app.take_arguments import add_part, add_take
from stream.recordings.captured import must_hold_estimates
from stream.recordings.export import check_folder, finished, told_faults
from stream.recordings.markers import markers_of
from stream.recordings.opensim import load_opensim, solve_person, write_extras
from stream.recordings.reading import Reading
from stream.recordings.resampling import resampled
from stream.recordings.takes import open_take
from stream.types import StreamError

_OURS = re.compile(r"person\d*\.(trc|osim|mot|json)|markers\.xml", re.ASCII)
_MASS = 70.0


def main(arguments: list[str] | None = None) -> int:
    """Scale a model to each person of a recording and find its joint angles by inverse kinematics."""
    parser = Parser(prog="python -m stream opensim", description=main.__doc__)
    add_take(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder to write")
    parser.add_argument("--model", type=Path, metavar="FILE.osim",
                        help="a model of Rajagopal's kind (default: Pose2Sim's, fetched once)")  # fmt: skip
    parser.add_argument("--mass", type=positive, default=_MASS, metavar="KG", help=f"of each (default {_MASS:g})")
    parser.add_argument("--camera", metavar="NAME", help="this camera's answers, not the fused people")
    parser.add_argument("--world", action="store_true", help="with --camera: put them where the calibration says")
    parser.add_argument("--rate", type=positive, metavar="HZ", help="resample to even times")
    add_part(parser)
    parser.add_argument("--force", action="store_true", help="replace an earlier folder")
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        must_hold_estimates(take)
        check_folder(take, options.out, options.force, lambda name: bool(_OURS.fullmatch(name)), "an OpenSim export")
        with leave_on_interrupt("stream opensim"):
            osim = load_opensim()
        model = options.model or demo.fetch(demo.OPENSIM) / "Model_Pose2Sim_simple.osim"
        if not model.is_file():
            raise StreamError(f"{model}: there is no such model; give --model FILE.osim")
        reading = Reading(take, options.start, options.end, options.select)
        with told_faults(reading):
            markers = markers_of(reading, options.camera, options.world)
        markers = markers if options.rate is None else resampled(markers, options.rate)
        notes = [*markers.notes]
        with writing.folder_aside(options.out) as folder:
            for person_id in markers.people:
                notes += solve_person(osim, model, markers, person_id, options.mass, folder, take.run_info.unix_offset)
            if not any(folder.iterdir()):
                raise StreamError("nobody is long enough in this take, or in that part, for OpenSim")
            write_extras(folder)
        notes.append(f"wrote {options.out}: model, motion, markers and errors of each person")
    except (UserError, KeyboardInterrupt) as error:
        return ended(error, "stopped; nothing was written")
    except OSError as error:
        say(f"cannot write {options.out}: {error.strerror or error}")
        return MISTAKE
    tell(finished(take, reading, notes))
    return DONE
