"""Two people live, over two real RTSP streams of the recording of two people, through the whole pipeline."""

from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from benchmarks.detectors import frames_of
from stream.app import build
from stream.app.demo import PEOPLE, fetch
from stream.config import CameraSetupConfig, Config, DetectConfig, OutputConfig
from stream.sources import parse_sources
from stream.types import Estimate, StreamError
from tests.servers import RtspServer

NAMES = ("cam02", "cam03")
MOMENTS = 40


class Moments:
    """A sink that keeps the estimates to which both cameras gave a frame, and ends the run after some."""

    policy, wants_images = "every", False

    def __init__(self, control) -> None:
        self._control = control
        self.estimates: list[Estimate] = []

    def open(self, run_info) -> None:
        pass

    def write(self, estimate, images) -> None:
        if all(frame is not None for frame in estimate.frames):
            self.estimates.append(estimate)
        if len(self.estimates) >= MOMENTS:
            self._control.stop()

    def close(self) -> None:
        pass


def pictures(folder: Path, film: Path, moment: int = 40) -> Path:
    """The film around one moment, there and back, at half its size, as numbered JPEG files: their pattern."""
    images = [
        cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        for image in list(frames_of(film, moment))[moment - 12 :]
    ]
    for k, image in enumerate([*images, *images[-2:0:-1]]):
        cv2.imwrite(str(folder / f"{film.stem}-{k:03d}.jpg"), image)
    return folder / f"{film.stem}-%03d.jpg"


@pytest.mark.slow
@pytest.mark.video
def test_two_people_over_two_rtsp_streams(rtsp_python: str, tmp_path: Path) -> None:
    try:
        room = fetch(PEOPLE)
    except StreamError as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        servers = [
            stack.enter_context(RtspServer(rtsp_python, images=pictures(tmp_path, room / "videos" / f"{name}.mp4")))
            for name in NAMES
        ]
        config = Config(
            parse_sources([f"{name}={server.url()}" for name, server in zip(NAMES, servers, strict=True)]),
            detect=DetectConfig(names=("movenet-lightning",)),
            setup=CameraSetupConfig(calibration=room / "calibration" / "Calib.qca.txt", up=(0.0, 0.0, 1.0)),
            output=OutputConfig("none"),
        )
        pipeline, viewer = build.prepare(config, stack)
        kept = Moments(pipeline.control)
        pipeline.add(kept)
        summary = pipeline.run(viewer)
    assert len(kept.estimates) >= MOMENTS and not summary.failures
    shared = [
        (e.t, {p.person_id for p in e.people if all(view is not None for view in p.views) and p.pose is not None})
        for e in kept.estimates[3:]
    ]
    both = [(t, ids) for t, ids in shared if len(ids) == 2]
    assert len(both) >= 0.9 * len(shared), "both are seen by both cameras"
    # A machine that is busy for seconds leaves gaps, after which somebody is new.
    soon = [(before, ids) for (then, before), (t, ids) in pairwise(both) if t - then < 1.5]
    assert soon and all(before == ids for before, ids in soon), "and each has one id, the same in both"
