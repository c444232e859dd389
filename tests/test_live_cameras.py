"""Several live cameras over the network, calibrated: one stalls, leaves the moment, and comes back by itself."""

import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import numpy as np
import pytest

from calibration.geometry.camera import camera_from_fov, world_to_image
from engines.detectors.fallback import Fallback
from engines.fusion import Fuser
from engines.lifter import MDNLifter
from engines.skeleton import COCO, derive
from engines.types import Detection, empty_detection
from stream.app.build import open_sources
from stream.config import CameraSetupConfig, Config, SourceConfig
from stream.live.estimator import Estimator
from stream.live.metrics import Meter, report
from stream.live.pipeline import OpenSource, Pipeline
from stream.sinks import CameraInfo, RunInfo
from stream.sources import make_source
from stream.types import StreamError
from tests.calibration_scene import look_at
from tests.faults.fault import row
from tests.servers import MjpegServer
from tests.walker import walker

WAIT_S = 30.0
"""Far longer than anything here takes, for a machine that is busy."""
NAMES = ("left", "right", "back")
SIZE = (160, 120)
PERSON = walker(0.1)


class Known:
    """A detector whose n-th session sees the walker as the n-th camera does."""

    name = "known"

    def __init__(self, cameras):
        self._left = iter(cameras)

    def session(self):
        camera = next(self._left)
        xy, score, derived = derive(world_to_image(camera, PERSON), np.where(np.array(COCO.source) >= 0, 0.9, 0.0))
        found = Detection(xy.astype(np.float32), score.astype(np.float32), derived, "known")
        return type("Session", (), {"__call__": lambda self, image, t: found, "reset": lambda self: None})()

    def describe(self):
        return {"model": "none", "sha256": "0" * 64, "runtime": "numpy"}


class Watch:
    """Wakes a test when an estimate is as it waits for."""

    policy, wants_images = "every", False

    def __init__(self):
        self.got, self._changed = [], threading.Condition()

    def open(self, run_info):
        pass

    def write(self, estimate, images):
        with self._changed:
            self.got.append(estimate)
            self._changed.notify()

    def close(self):
        return None

    def wait(self, wanted):
        """Until one that comes from now on is as wanted."""
        with self._changed:
            first = len(self.got)
            assert self._changed.wait_for(lambda: any(map(wanted, self.got[first:])), WAIT_S)


def used(*names):
    """An estimate that is fused from these cameras, and has frames of no other."""
    return lambda e: e.people and pose_of(e).cameras == names and {f.camera for f in e.frames if f} == set(names)


def pose_of(estimate):
    return estimate.person.pose


@row("one of several cameras stalls", 0, "", "the others go on; it comes back")
def test_a_camera_that_stalls_leaves_the_others_go_on_and_it_comes_back():
    cameras = [
        look_at(name, centre, [0, 0, 900], f=110, size=SIZE, dist=(0, 0, 0, 0, 0))
        for name, centre in zip(
            NAMES, ([-2500.0, -3000, 1500], [2500.0, -3000, 1600], [300.0, 3500, 1700]), strict=True
        )
    ]
    servers = [MjpegServer(fps=25, size=SIZE) for _ in NAMES]
    sources = [
        make_source(SourceConfig(server.url(), name, stall_s=0.6, retry_s=(0.05, 0.1), open_s=5.0))
        for server, name in zip(servers, NAMES, strict=True)
    ]
    lifter, watch, meter = MDNLifter(), Watch(), Meter()
    try:
        opened = [OpenSource(source, source.open()) for source in sources]
        headers = tuple(CameraInfo(o.info.name, o.info.source, o.info.kind, SIZE, c)
                        for o, c in zip(opened, cameras, strict=True))  # fmt: skip
        estimator = Estimator(cameras, Known(cameras), lifter, fuse=Fuser(cameras, "map"))
        pipe = Pipeline(opened, estimator, RunInfo(headers, 5, datetime.now(UTC), 0.0, 25.0), meter)
        pipe.add(watch)
        summaries = []
        run = threading.Thread(target=lambda: summaries.append(pipe.run()))
        run.start()
        watch.wait(used(*NAMES))
        servers[1].stalled.set()
        watch.wait(used("left", "back"))
        servers[2].stalled.set()
        watch.wait(used("left"))
        assert pose_of(watch.got[-1]).method == "single"
        for server in servers:
            server.stalled.clear()
        watch.wait(used(*NAMES))
        pipe.control.stop()
        run.join(WAIT_S)
    finally:
        for server in servers:
            server.close()
    (summary,) = summaries
    assert set(summary.fused) == {"map", "single"} and "single view" in "\n".join(report(summary))
    assert summary.skew_ms is not None and summary.skew_ms[0] > 0
    together = [pose_of(e) for e in watch.got if pose_of(e).cameras == NAMES]
    limbs = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
    error = np.linalg.norm(together[-1].joints[limbs] - PERSON[limbs], axis=-1)
    assert error.max() < 40, "the person is where it stands, in world millimetres"
    times = [e.t for e in watch.got]
    assert times == sorted(times) and times[0] < times[-1]
    assert pytest.approx(0, abs=1e-9) == min(e.spread_s for e in watch.got if len(pose_of(e).cameras) == 1)


def test_a_file_is_not_mixed_with_a_camera_in_real_time_either():
    server = MjpegServer(fps=25, size=SIZE)
    file = SourceConfig("synthetic:frames=9", "b", realtime=True)
    try:
        with ExitStack() as stack, pytest.raises(StreamError, match="cannot be mixed in one run, nor with --realtime"):
            open_sources(Config((SourceConfig(server.url(), "a"), file)), stack)
    finally:
        server.close()


def test_live_sources_are_not_moved_further_apart_than_memory_lasts():
    sources = tuple(SourceConfig(f"synthetic:frames={n}", name, realtime=True) for name, n in (("a", 9), ("b", 8)))
    for offset, refused in (("b=-2", False), ("b=-30", True)):
        with ExitStack() as stack:
            try:
                open_sources(Config(sources, setup=CameraSetupConfig(sync_offset=(offset,))), stack)
                assert not refused
            except StreamError as error:
                assert refused and "30 s apart" in str(error)


class Paced:
    """A detector that sees nobody and takes its time."""

    def __init__(self, name, seconds):
        self.name, self.seconds = name, seconds

    def session(self):
        return self

    def __call__(self, image, t):
        time.sleep(self.seconds)
        return empty_detection(self.name)

    def reset(self):
        pass

    def describe(self):
        return {"model": self.name, "sha256": "0" * 64, "runtime": "numpy"}


@pytest.mark.parametrize(("fps", "stated", "last"), [(8, None, "fine"), (8, 30.0, "coarse"), (25, None, "coarse")])
def test_a_network_camera_s_rate_is_measured_or_stated_and_not_assumed(fps, stated, last):
    """It says none. 60 ms fit into the 125 of 8 frames a second, not into the 40 of 25 or the 33 of 30."""
    watch = Watch()
    with MjpegServer(fps=fps, size=SIZE) as server, ExitStack() as stack:
        config = Config((SourceConfig(server.url(), "cam", fps=stated),), setup=CameraSetupConfig())
        (opened,) = open_sources(config, stack)
        assert opened.info.fps == stated
        detectors = {"fine": Paced("fine", 0.06), "coarse": Paced("coarse", 0.001)}
        chain = Fallback(list(detectors), rate=30.0, load=detectors.__getitem__)
        camera = camera_from_fov("cam", SIZE, 60.0)
        info = RunInfo((CameraInfo("cam", opened.info.source, "network", SIZE),), 5, datetime.now(UTC), 0.0)
        pipeline = Pipeline([opened], Estimator([camera], chain, MDNLifter()), info, Meter())
        pipeline.add(watch)
        run = threading.Thread(target=pipeline.run)
        run.start()
        end = time.monotonic() + WAIT_S
        while len(watch.got) < 24 and time.monotonic() < end:
            time.sleep(0.05)
        pipeline.control.stop()
        run.join(WAIT_S)
    assert len(watch.got) >= 24
    assert chain.describe()["model"] == last, chain.messages
