"""``python -m stream export``: a take as a table or as markers."""

from pathlib import Path

from calibration.errors import UserError
from engines.argument_types import DONE, Parser, positive
from stream.app.console import ended, tell
from stream.app.take_arguments import add_part, add_take
from stream.recordings.captured import must_hold_estimates
from stream.recordings.export import FORMATS, export
from stream.recordings.markers import NAMES
from stream.recordings.people_files import PeopleOptions
from stream.recordings.takes import open_take


def main(arguments: list[str] | None = None) -> int:
    """Export a recording for other programs: tables, markers, skeletons, angles of joints, 2D joints."""
    parser = Parser(prog="python -m stream export", description=main.__doc__)
    add_take(parser)
    parser.add_argument("--to", required=True, choices=FORMATS, help="format")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="file to write; pose2sim: a folder")
    parser.add_argument("--camera", metavar="NAME", help="files of people: this camera's answers, not the fused")
    parser.add_argument("--world", action="store_true", help="with --camera: put them where the calibration says")
    people = parser.add_mutually_exclusive_group()
    people.add_argument("--per-person", action="store_true",
                        help="files of people: FILE.personID of each (default where there are several)")  # fmt: skip
    people.add_argument("--prefix", action="store_true",
                        help="trc, c3d: one file of everybody, markers named personID:JOINT")  # fmt: skip
    parser.add_argument("--hypotheses", action="store_true",
                        help="bvh, glb: skeletons of one camera's hypotheses too, of the same bones")  # fmt: skip
    parser.add_argument("--names", default="own", choices=tuple(NAMES), help="trc, c3d: what markers are called")
    parser.add_argument("--rate", type=positive, metavar="HZ", help="files of people: resample to even times")
    add_part(parser)
    parser.add_argument("--force", action="store_true", help="write over existing files")
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        must_hold_estimates(take)
        notes = export(
            take, options.to, options.out,
            start=options.start, end=options.end, force=options.force, select=options.select,
            people=PeopleOptions(
                options.camera, options.world, options.per_person, options.prefix, options.names, options.rate,
                options.hypotheses,
            ),
        )  # fmt: skip
    except (UserError, KeyboardInterrupt) as error:
        return ended(error, "stopped; nothing was written")
    tell(notes)
    return DONE
