"""What is changed, and which tests are to notice: few, so that a change takes seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Part:
    """Modules and the tests that hold them."""

    modules: tuple[str, ...]
    """Globs under the root of the repository."""
    tests: tuple[str, ...]
    """Files under ``tests``, without their ending; the fastest first."""

    def files(self, root: Path) -> set[Path]:
        """The modules, under ``root``."""
        return {path for glob in self.modules for path in root.glob(glob)}


_TAKE: Final = (
    "test_take_limits", "test_recover", "test_version_2", "test_recording", "faults/test_takes",
    "faults/test_take_schemas",
)  # fmt: skip
_TABLE: Final = (
    "test_take_limits",
    "test_version_2",
    "test_version_1",
    "test_export",
    "test_export_refused",
    "test_export_markers",
)

AREAS: Final[dict[str, tuple[Part, ...]]] = {
    "tracks": (Part(("stream/live/tracks.py",), ("test_tracks",)),),
    "matching": (
        Part(("stream/live/synchronise.py", "stream/live/files.py"), ("test_sync",)),
        Part(("stream/live/metrics.py",), ("test_metrics",)),
    ),
    "geometry": (
        Part(("calibration/geometry/camera.py",), ("test_geometry_limits", "test_geometry")),
        Part(
            ("calibration/geometry/[rtv]*.py",),
            ("test_geometry_known", "test_geometry", "test_calibration_triangulate"),
        ),
    ),
    "solving": (
        Part(("calibration/solving/check.py", "calibration/solving/lengths.py"), ("test_calibration_check",)),
        Part(("calibration/solving/board.py",), ("test_calibration_board",)),
        Part(("calibration/solving/timing*.py", "calibration/solving/offsets.py"), ("test_calibration_timing",)),
        Part(
            tuple(f"calibration/solving/{name}.py" for name in ("person", "body", "bones", "sureness", "floor")),
            ("test_calibration_person",),
        ),
        Part(
            tuple(f"calibration/solving/{name}.py" for name in ("intrinsics", "extrinsics", "bundle", "motion")),
            ("test_calibration_solve", "test_calibration_person"),
        ),
    ),
    "recordings": (
        Part(
            ("stream/recordings/markers.py",),
            ("test_take_limits", "test_markers", "test_export_markers", "test_export", "test_export_refused"),
        ),
        Part(("stream/recordings/inspect.py",), ("test_take_limits", "test_inspect")),
        Part(tuple(f"stream/recordings/{name}.py" for name in ("segments", "writer", "recover", "takes")), _TAKE),
        Part(("stream/recordings/frames.py",), ("test_record_video",)),
        Part(("stream/recordings/replay.py",), ("test_version_2", "test_recording")),
        Part(
            tuple(
                f"stream/recordings/{name}.py"
                for name in (
                    "columns", "rows", "tables", "schema", "npz", "extra_joints", "export", "run_info",
                )
            ),
            _TABLE,
        ),
    ),
    "lifter": (
        Part(("engines/lifter.py",), ("test_lifting", "test_lifter")),
        Part(("engines/cards.py",), ("test_cards", "test_lifter")),
    ),
    "top-down": (
        Part(("engines/top_down/[!_]*.py",), ("test_top_down", "test_top_down_crowd", "test_search_beside")),
        Part(("engines/preprocess.py",), ("test_preprocess",)),
    ),
    "fusion": (
        Part(("engines/covariance.py",), ("test_covariance",)),
        Part(("engines/fusion/*.py",), ("test_fusion",)),
    ),
    "defaults": (
        Part(("stream/config.py",), ("test_defaults", "test_sync", "test_tracks")),
    ),
}  # fmt: skip
"""Name -> parts. The defaults are not sampled: every one is doubled and halved."""


def part_of(area: str, root: Path, module: str) -> Part:
    """The part that a module belongs to."""
    return next(part for part in AREAS[area] if root / module in part.files(root))
