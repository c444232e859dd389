"""The program in a process of its own, as its user starts it, and what it wrote."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FAST = ("--view", "none", "--detector", "movenet-lightning")
FIGURE = "synthetic:frames=3"


@dataclass(frozen=True)
class Done:
    """A finished run."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("run_stream:")]


def run(*flags: object, cwd: Path, program: tuple[object, ...] = (ROOT / "run_stream.py",), **kwargs) -> Done:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **kwargs.pop("env", {})}
    done = subprocess.run(
        [sys.executable, *map(str, program), *map(str, flags)],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=100, **kwargs,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def table_of(folder: Path, out: Path) -> dict[str, np.ndarray]:
    done = run(folder, "--to", "npz", "--out", out, cwd=out.parent, program=("-m", "stream", "export"))
    assert done.code == 0, done.err
    with np.load(out) as data:
        return dict(data)
