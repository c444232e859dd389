"""``--demo cluster``: nodes of a group that are other processes of this computer, for as long as a run lasts."""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from stream.cluster.group import Group
from stream.cluster.session import check
from stream.config import SourceConfig
from stream.recordings.run_info import NODE

_START_S: Final = 120.0
"""So long a process may take until it publishes: it loads its networks first."""
_END_S: Final = 10.0
_PROGRAM: Final = "from calibration.programs import stream; raise SystemExit(stream())"


def spread(
    sources: tuple[SourceConfig, ...], processes: int
) -> tuple[tuple[SourceConfig, ...], Group, list[tuple[SourceConfig, ...]]]:
    """The same cameras as other processes publish them, their group, and which of the cameras each of these has.

    Raises:
        StreamError: if a package is missing.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        group = Group(f"own-{os.getpid()}", port=free.getsockname()[1])
    check("--demo cluster", group)
    share = -(-len(sources) // processes)
    parts = [sources[k : k + share] for k in range(0, len(sources), share)]
    nodes = tuple(replace(s, source=f"{NODE}{group}/{s.name}", open_s=_START_S) for s in sources)
    return nodes, group, parts


@contextmanager
def published(parts: Sequence[Sequence[SourceConfig]], group: Group, flags: Sequence[str]) -> Iterator[None]:
    """Processes that publish these cameras; they end with it."""
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    started: list[subprocess.Popen[bytes]] = []
    try:
        for part in parts:
            cameras = [f"--camera={source.name}={source.source}" for source in part]
            command = [sys.executable, "-c", _PROGRAM, *cameras, "--publish", str(group)]
            command += ["--view", "none", "--quiet", *flags]
            environment, nothing = {**os.environ, "PYTHONPATH": path}, subprocess.DEVNULL
            started.append(subprocess.Popen(command, env=environment, stdin=nothing, stdout=nothing))
        yield
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def detection_flags(args: argparse.Namespace) -> list[str]:
    """What those who detect have to know of what was asked for."""
    names = ("detector", "runtime", "precision", "people", "max_people")
    return [f"--{n.replace('_', '-')}={getattr(args, n)}" for n in names if getattr(args, n) is not None]
