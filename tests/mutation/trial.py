"""One change, one copy of the checkout, one run of the tests."""

import os
import py_compile
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from tests.mutation.areas import Part
from tests.mutation.operators import Mutation, mutated

Outcome = Literal["killed", "timed out", "survived"]

COPIED: Final = ("calibration", "engines", "stream", "tests", "benchmarks", "docs")
PYTEST: Final = ("-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-m", "not slow and not video")


class Copy:
    """A copy of the checkout in which one module at a time is changed; the checkout itself never is."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            shutil.copytree(
                root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.onnx", "*.task", "results")
            )
        for path in (
            *root.glob("*.toml"),
            *root.glob("*.txt"),
            *root.glob("*.md"),
            *root.glob("*.py"),
            *root.glob("*.lock"),
        ):
            shutil.copy(path, folder)
        for pattern in ("engines/weights/**/*.onnx", "engines/weights/**/*.task", "benchmarks/results/*"):
            for path in root.glob(pattern):
                link = folder / path.relative_to(root)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
        for path in folder.rglob("*.py"):
            # By what is in it: a module that changes twice a second keeps its time of change.
            py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)

    def run(self, part: Part, limit_s: float) -> tuple[Outcome, float]:
        """Its tests: how they went, and the seconds they took."""
        began = time.monotonic()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        tests = [f"tests/{name}.py" for name in part.tests]
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *PYTEST, *tests],
            cwd=self.folder, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=(self.folder / "pytest.txt").open("w"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return "timed out", time.monotonic() - began
        finally:
            _end(process)
        return ("killed" if code else "survived"), time.monotonic() - began

    def trial(self, mutation: Mutation, part: Part, limit_s: float) -> tuple[Outcome, float]:
        """The tests of a part with this change, which is taken back."""
        path = self.folder / mutation.module
        source = path.read_text(encoding="utf-8")
        changed = mutated(source, mutation.operator, mutation.occurrence)
        if changed is None:
            raise ValueError(f"{mutation.module} has no such place any more")
        try:
            path.write_text(changed, encoding="utf-8")
            return self.run(part, limit_s)
        finally:
            path.write_text(source, encoding="utf-8")

    def said(self) -> Sequence[str]:
        """The last lines of the tests."""
        return (self.folder / "pytest.txt").read_text(errors="replace").splitlines()[-15:]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """With all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
