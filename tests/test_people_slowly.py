"""People are told apart whatever the rate: of two who turn quickly, seen a few times a second, none is seen twice."""

import numpy as np
import pytest

from benchmarks.scenes import on_the_floor
from engines.fusion import Fuser
from engines.identity import State, placed, step
from engines.types import Seen, Sighting, empty_detection
from stream.config import SourceConfig
from stream.sources.synthetic import SyntheticSource
from tests.fusion_scene import detect, lift, ring


@pytest.mark.parametrize("rate", [15.0, 4.3, 3.8, 3.3])
def test_two_who_turn_quickly_are_two_at_any_rate(rate):
    figure, rng = SyntheticSource(SourceConfig("synthetic:", "figure")), np.random.default_rng(0)
    cameras = ring((0, 45, 90, 135, 180, 225, 270, 315))
    fusers, state = {}, State()
    for index in range(round(3 * rate)):
        t = index / rate
        turning = on_the_floor(figure.pose(t * figure.fps))
        people = [turning + [x, 0, 0] for x in (-750, 750)]
        seen, mixtures = [], []
        for camera in cameras:
            found = [detect(camera, person, rng) for person in people]
            seen.append(Seen("test", tuple(Sighting(k, one) for k, one in enumerate(found))))
            mixtures.append([lift(camera, person, rng) for person in people])
        state, who = step(state, seen, mixtures, t, cameras)
        assert [one.views for one in who] == [(k,) * len(cameras) for k in who[0].views[:1] + who[1].views[:1]], t
        assert {one.person_id for one in who} == {0, 1} and len(who) == 2
        poses = {}
        for one in who:
            fuse = fusers.setdefault(one.person_id, Fuser(cameras))
            views = list(zip(seen, mixtures, one.views, strict=True))
            found = [empty_detection("test") if k is None else s.people[k].detection for s, _, k in views]
            poses[one.person_id] = fuse(found, [None if k is None else m[k] for _, m, k in views], t)
        state = placed(state, poses, t)
