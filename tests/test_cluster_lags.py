"""A computer whose cameras are late by themselves is found out by how people move, over the real engine."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

for package in ("zenoh", "msgpack"):
    pytest.importorskip(package, reason=f"needs {package}, of requirements-cluster.txt")

import stream  # noqa: E402
from calibration.types import Calibration  # noqa: E402
from engines.types import Seen, Sighting  # noqa: E402
from stream.cluster.group import group  # noqa: E402
from stream.cluster.messages import Card  # noqa: E402
from stream.cluster.node import Node  # noqa: E402
from tests.cluster_node import FPS, free_group  # noqa: E402
from tests.fusion_scene import detect, ring  # noqa: E402
from tests.test_lags import FOUR, Mover  # noqa: E402

PATIENCE_S = 200.0


def publish(to, mine, late):
    """A node of some of the cameras, in a process of its own, until it is ended."""
    cameras, mover, rng = ring(FOUR), Mover(), np.random.default_rng(mine[0])
    node = Node(
        group(to), lambda: [Card(cameras[k].name, cameras[k].size, FPS, None, None) for k in mine], live=True,
        software="test",
    )  # fmt: skip
    node.open()
    print("ready", flush=True)
    start = time.monotonic() + 0.011 * mine[0]  # nothing exposes the cameras of two computers at once
    for index in range(1 << 20):
        time.sleep(max(0.0, start + index / FPS - time.monotonic()))
        for k in mine:
            t = time.monotonic()
            seen = Seen("test", (Sighting(0, detect(cameras[k], mover(t - late), rng)),))
            node.put(cameras[k].name, index, t, cameras[k].size, seen)


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 60)
def test_two_cameras_that_are_late_by_themselves_are_named_with_their_offsets():
    to, cameras = free_group(), ring(FOUR)
    command = [sys.executable, "-m", "tests.test_cluster_lags", str(to)]
    started = [
        subprocess.Popen([*command, *args], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)
        for args in (("0,1", "0.0"), ("2,3", "0.04"))
    ]
    try:
        for process in started:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        sources, begun = [f"{camera.name}=node:{to}/{camera.name}" for camera in cameras], time.monotonic()
        with stream.open_stream(*sources, calibration=Calibration(tuple(cameras)), runtime="onnx") as live:
            for _ in live:
                if live.note.count("--sync-offset") == 2 or time.monotonic() - begun > PATIENCE_S:
                    break
            said = live.note
        print(f"after {time.monotonic() - begun:.0f} s: {said}")
        assert said.count("--sync-offset") == 2, said
        for name in ("cam2", "cam3"):
            assert float(said.split(f"{name}=")[1].split()[0]) == pytest.approx(-0.04, abs=0.010)
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


if __name__ == "__main__":
    publish(sys.argv[1], [int(k) for k in sys.argv[2].split(",")], float(sys.argv[3]))
