"""Takes to record and to damage, for the tests of what writes and reads them."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from calibration.geometry.camera import Camera
from engines.types import Detection, ExtraJoints, ExtraPoints, Mixture, Pose
from stream.recordings.takes import new_take
from stream.recordings.writer import Recorder
from stream.sinks import CameraInfo, RunInfo
from stream.types import Estimate, Event, FrameReference, HypothesisTrack, Note, Person, View

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


NAMES = ("left_heel", "right_heel", "nose")
"""Further joints."""


def make_view(rng: np.random.Generator, t: float, kind: str) -> View | None:
    """A view of a person ("lifted"), of one too little seen to lift ("seen"), or of nobody ("nobody")."""
    if kind == "nobody":
        return None
    draw = lambda *shape: rng.normal(0, 500, shape).astype(np.float32)  # noqa: E731
    names = NAMES[: rng.integers(len(NAMES) + 1)]
    extra = ExtraJoints(names, draw(len(names), 2), rng.random(len(names), np.float32), draw(len(names), 2, 2))
    detection = Detection(
        draw(17, 2), rng.random(17, np.float32), rng.random(17) < 0.2, "thunder",
        cov=draw(17, 2, 2) if rng.random() < 0.5 else None, extra=extra if names else None,
    )  # fmt: skip
    if kind == "seen":
        return View(detection=detection)
    mixture = Mixture(draw(M, 17, 3), np.abs(draw(M, 17)), rng.dirichlet(np.ones(M)).astype(np.float32))
    tracks = tuple(
        HypothesisTrack(int(rng.integers(1, 1 << 40)), t - rng.random(), mixture.mean[k], rng.random())
        for k in range(M)
    )
    return View(
        detection=detection,
        mixture=mixture,
        tracks=tracks,
        answer_raw=draw(17, 3),
        answer=draw(17, 3),
        root=draw(3),
        root_raw=draw(3),
    )


def make_person(
    rng: np.random.Generator, index: int, t: float, cameras: int, fused: bool, person_id: int = 0
) -> Person | None:
    """A person whom some cameras see, None where none does and nothing is fused."""
    kinds = "lifted", "seen", "nobody"
    views = tuple(
        None if (index + c) % 7 == 6 else make_view(rng, t, kinds[max((index + c + person_id) % 5 - 2, 0)])
        for c in range(cameras)
    )
    A = rng.normal(0, 10, (17, 3, 3))
    cov = (A @ A.transpose(0, 2, 1)).astype(np.float32)
    pose = Pose(
        rng.normal(0, 900, (17, 3)).astype(np.float32),
        cov,
        tuple(f"cam{c}" for c in range(cameras)),
        "map",
        extra=None if index % 3 else ExtraPoints(NAMES[:2], A[:2, 0].astype(np.float32), cov[:2] / 2),
    )
    pose = pose if fused and (index + person_id) % 4 else None
    return Person(person_id=person_id, views=views, pose=pose) if pose is not None or any(views) else None


def make_estimates(count: int, cameras: int = 2, fused: bool = True, seed: int = 0, people: int = 1) -> list[Estimate]:
    """Random estimates in which everything that can be absent is absent now and then."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        t = index / 30 + 0.1
        frames = tuple(
            None if (index + c) % 7 == 6 else FrameReference(f"cam{c}", index * 2, t + c * 1e-3, (640, 480), "thunder")
            for c in range(cameras)
        )
        everybody = [make_person(rng, index, t, cameras, fused, 3 * k) for k in range(people)]
        stages = {"detect": rng.random(), "lift": rng.random()} if index % 2 else None
        made.append(
            Estimate(
                index=index, t=t, frames=frames, people=tuple(p for p in everybody if p is not None),
                spread_s=1e-3, stages=stages, left_out=index % 3,
            )
        )  # fmt: skip
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
    directory: Path, estimates: list[Estimate], run_info: RunInfo | None = None, every: int = 10,
    notes: Sequence[Note] = (), **limits: Any,
) -> Path:  # fmt: skip
    """A finished take of the estimates, in batches of some moments; with events, and readings of clocks."""
    take = new_take(directory)
    recorder = Recorder(take, **limits)
    recorder.open(run_info or make_run_info())
    for note in notes:
        recorder.event(note) if isinstance(note, Event) else recorder.clock(note)
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
