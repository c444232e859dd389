"""What is changed, and which tests are to notice: few, so that a change takes seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Area:
    """Modules and the tests that hold them."""

    modules: tuple[str, ...]
    """Globs under the root of the repository."""
    tests: tuple[str, ...]
    """Arguments of pytest, the fastest first."""

    def files(self, root: Path) -> list[Path]:
        """The modules, under ``root``, sorted."""
        return sorted({path for glob in self.modules for path in root.glob(glob) if path.name != "__init__.py"})


AREAS: Final = {
    "tracks": Area(("stream/live/tracks.py",), ("tests/test_tracks.py",)),
    "matching": Area(
        ("stream/live/synchronise.py", "stream/live/files.py", "stream/live/metrics.py"),
        ("tests/test_sync.py", "tests/test_metrics.py"),
    ),
    "geometry": Area(
        ("calibration/geometry/*.py",),
        ("tests/test_geometry.py", "tests/test_calibration_triangulate.py", "tests/test_calibration_units.py"),
    ),
    "solving": Area(
        ("calibration/solving/[!p]*.py", "calibration/solving/person.py"),
        (
            "tests/test_calibration_check.py", "tests/test_calibration_board.py", "tests/test_calibration_timing.py",
            "tests/test_calibration_person.py", "tests/test_calibration_solve.py",
        ),
    ),
    "recordings": Area(
        ("stream/recordings/*.py",),
        (
            "tests/test_recording.py", "tests/test_recover.py", "tests/test_version_1.py", "tests/test_version_2.py",
            "tests/test_markers.py", "tests/test_inspect.py", "tests/test_export.py", "tests/faults/test_takes.py",
        ),
    ),
    "lifter": Area(("engines/lifter.py", "engines/cards.py"), ("tests/test_lifting.py", "tests/test_lifter.py")),
    "top-down": Area(
        ("engines/top_down.py", "engines/movenet_heads.py", "engines/preprocess.py"),
        ("tests/test_top_down.py", "tests/test_movenet.py"),
    ),
    "fusion": Area(
        ("engines/fusion/*.py", "engines/covariance.py"), ("tests/test_covariance.py", "tests/test_fusion.py"),
    ),
    "defaults": Area(
        ("stream/config.py",), ("tests/test_defaults.py",),
    ),
}  # fmt: skip
"""Name -> area."""
