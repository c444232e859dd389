"""Takes to record and to damage, for the tests of what writes and reads them."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from calibration.geometry.camera import Camera
from engines.types import Detection, Mixture, Pose, empty_detection
from stream.recordings.takes import new_take
from stream.recordings.writer import Recorder
from stream.sinks import CameraInfo, RunInfo
from stream.types import Estimate, HypothesisTrack, View

M = 5


def make_run_info(cameras: int = 2, calibrated: bool = True) -> RunInfo:
    """A run of several cameras; the last has no calibration unless all of them have."""

    def camera(number: int) -> CameraInfo:
        K = np.array([[900.1, 0, 319.5], [0, 900.2, 239.5], [0, 0, 1]])
        made = Camera(
            f"cam{number}", (640, 480), K, np.arange(5) / 7, np.eye(3), np.arange(3) / 3, np.array([0, 0, 1.0])
        )
        return CameraInfo(
            name=f"cam{number}", source=f"rtsp://user:***@host/{number}", kind="network", size=(640, 480),
            calibration=made if calibrated else None, fov_degrees=None if calibrated else 60.0, serial=f"S{number}",
        )  # fmt: skip

    return RunInfo(
        cameras=tuple(camera(n) for n in range(cameras)),
        kernels=M,
        start_utc=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        start_monotonic=12345.678901234,
        fps=30.0,
        detectors={"thunder": {"model": "t.onnx", "sha256": "ab" * 32, "runtime": "onnx"}},
        lifter={"model": "mdn.onnx", "sha256": "cd" * 32},
        runtime="onnx",
        software="hypothesis-stream 0.1.0",
        settings={"tracks": {"stay": 0.9}, "weights": Path("w.onnx")},
    )


def make_view(rng: np.random.Generator, camera: str, index: int, t: float, kind: str) -> View:
    """A view with a person ("lifted"), with one too little seen to lift ("seen"), or with nobody ("nobody")."""
    if kind == "nobody":
        return View(camera, index, t, (640, 480), empty_detection("thunder"), None, (), None, None, None)
    draw = lambda *shape: rng.normal(0, 500, shape).astype(np.float32)  # noqa: E731
    detection = Detection(draw(17, 2), rng.random(17, np.float32), rng.random(17) < 0.2, "thunder")
    if kind == "seen":
        return View(camera, index, t, (640, 480), detection, None, (), None, None, None)
    mixture = Mixture(draw(M, 17, 3), np.abs(draw(M, 17)), rng.dirichlet(np.ones(M)).astype(np.float32))
    tracks = tuple(
        HypothesisTrack(int(rng.integers(1, 1 << 40)), t - rng.random(), mixture.mean[k], rng.random())
        for k in range(M)
    )
    return View(camera, index, t, (640, 480), detection, mixture, tracks, draw(17, 3), draw(17, 3), draw(3))


def make_estimates(count: int, cameras: int = 2, fused: bool = True, seed: int = 0) -> list[Estimate]:
    """Random estimates in which everything that can be absent is absent now and then."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        t = index / 30 + 0.1
        views = tuple(
            None
            if (index + c) % 7 == 6
            else make_view(
                rng, f"cam{c}", index * 2, t + c * 1e-3, ("lifted", "seen", "nobody")[max((index + c) % 5 - 2, 0)]
            )
            for c in range(cameras)
        )
        A = rng.normal(0, 10, (17, 3, 3))
        pose = Pose(
            rng.normal(0, 900, (17, 3)).astype(np.float32),
            (A @ A.transpose(0, 2, 1)).astype(np.float32),
            tuple(f"cam{c}" for c in range(cameras)),
            "map",
        )
        stages = {"detect": rng.random(), "lift": rng.random()} if index % 2 else None
        made.append(Estimate(index, t, views, pose if fused and index % 4 else None, 1e-3, stages))
    return made


def same(a: object, b: object) -> bool:
    """Whether two records are equal, arrays bit for bit."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return a == b


def record(
    directory: Path, estimates: list[Estimate], run_info: RunInfo | None = None, every: int = 10, **limits: Any
) -> Path:
    """A finished take of the estimates, in batches of some moments."""
    take = new_take(directory)
    recorder = Recorder(take, **limits)
    recorder.open(run_info or make_run_info())
    for number, estimate in enumerate(estimates):
        recorder.write(estimate, {})
        if number % every == every - 1:
            with recorder._lock:
                recorder._flush()
    summary = recorder.close()
    assert str(take) in summary
    return take


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
