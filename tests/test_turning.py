"""Who is not upright is turned for the network: pixels come back where they were, and upright people are left alone."""

import av
import numpy as np
import pytest

from engines import detectors
from engines import skeleton as sk
from engines.preprocess import Box
from engines.skeleton import LIMBS
from engines.top_down import FollowedBox
from engines.top_down.turning import quarter_of, see_any_way_up, see_turned
from engines.types import Detection, ExtraJoints
from stream.app.demo import MULTI, fetch
from stream.types import StreamError


def dots(image, box):
    """A network that really looks: joint k is where the image is k + 1, if that is in the box."""
    xy, score = np.zeros((17, 2), np.float32), np.zeros(17, np.float32)
    for k in range(17):
        y, x = np.nonzero(image[..., 0] == k + 1)
        if len(x) and box.left <= x[0] < box.left + box.width and box.top <= y[0] < box.top + box.height:
            xy[k], score[k] = (x[0], y[0]), 0.9
    cov = np.tile(np.array([[4.0, 1.0], [1.0, 9.0]], np.float32), (17, 1, 1))
    extra = ExtraJoints(("nose",), xy[3:4], score[3:4], cov[:1])
    return Detection(xy, score, np.zeros(17, bool), "dots", cov=cov, extra=extra)


@pytest.mark.parametrize("box", [Box(20, 10, 60, 60), Box(-30, -20, 200, 200), Box(70, 40, 60, 60)])
@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_what_is_seen_in_a_turned_picture_comes_back_to_its_place(box, quarter, rng):
    image = np.zeros((80, 120, 3), np.uint8)
    places = rng.permutation(80 * 120)[:17]
    image[np.unravel_index(places, (80, 120))] = np.arange(1, 18)[:, None]
    plain, turned = dots(image, box), see_turned(dots, image, box, quarter)
    assert plain.score.any()
    for a, b in ((plain, turned), (plain.extra, turned.extra)):
        np.testing.assert_array_equal(a.score, b.score)
        np.testing.assert_array_equal(a.xy, b.xy)
        assert b.xy.dtype == np.float32
    # One pixel along the width there is one along the height here.
    assert plain.cov is not None
    expected = plain.cov if quarter == 2 else np.array([[9.0, -1.0], [-1.0, 4.0]])
    np.testing.assert_array_equal(turned.cov, np.broadcast_to(expected, (17, 2, 2)))


def stands(degrees, bend=0.0):
    """Somebody 200 px tall, turned counter-clockwise by so many degrees, whose trunk is bent by so many more."""
    xy = np.zeros((17, 2))
    for joint, x, y in ((sk.R_ANKLE, -10, 100), (sk.L_ANKLE, 10, 100), (sk.R_KNEE, -10, 50), (sk.L_KNEE, 10, 50),
                        (sk.R_HIP, -12, 0), (sk.L_HIP, 12, 0)):  # fmt: skip
        xy[joint] = x, y
    b = np.radians(bend)
    for joint, x, y in ((sk.R_SHOULDER, -18, -60), (sk.L_SHOULDER, 18, -60), (sk.R_ELBOW, -22, -30),
                        (sk.L_ELBOW, 22, -30), (sk.R_WRIST, -22, 0), (sk.L_WRIST, 22, 0)):  # fmt: skip
        xy[joint] = x * np.cos(b) - y * np.sin(b), x * np.sin(b) + y * np.cos(b)
    a = np.radians(degrees)
    xy = xy @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    score = np.zeros(17, np.float32)
    score[list(LIMBS)] = 0.8
    return Detection((xy + 300).astype(np.float32), score, np.zeros(17, bool), "drawn")


def test_the_axis_tells_the_turn_and_little_changes_nothing():
    assert [quarter_of(stands(a)) for a in (0, 30, -30, 55, -55)] == [0] * 5
    # Turned counter-clockwise by 90 degrees it takes three more to be upright.
    assert [quarter_of(stands(a)) for a in (90, 180, 270, 70, -70)] == [3, 2, 1, 3, 1]
    assert [quarter_of(stands(50), now) for now in (0, 3)] == [0, 3], "it stays between two"
    assert quarter_of(stands(0, bend=95)) == 0, "who bends forward stands on their feet"
    assert quarter_of(Detection(stands(180).xy, np.zeros(17, np.float32), np.zeros(17, bool), "")) == 0
    squat = stands(0)
    squat.xy[[sk.R_ANKLE, sk.L_ANKLE]] = squat.xy[[sk.R_SHOULDER, sk.L_SHOULDER]] + [30, 0]
    assert quarter_of(squat) == 0, "too short an axis tells nothing"


@pytest.mark.parametrize(("scores", "turns"), [((0.5, 0.55, 0.58, 0.5), 0), ((0.3, 0.2, 0.8, 0.4), 2)])
def test_another_way_up_is_only_believed_where_it_is_clearly_better(scores, turns):
    image = np.zeros((400, 400, 3), np.uint8)
    image[0, 0] = 255  # marks which way up the picture is

    def see(part, box):
        way = next(k for k in range(4) if np.rot90(part, -k)[0, 0, 0] == 255)
        pose = stands(0)
        pose.score[list(LIMBS)] = scores[way]
        return pose

    found, quarter = see_any_way_up(see, image, Box(0, 0, 400, 400), FollowedBox.strength_of, 0.1)
    assert quarter == turns and found.score.max() == pytest.approx(scores[turns])


@pytest.mark.slow
@pytest.mark.parametrize(("quarter", "least"), [(1, 0.95), (2, 0.95)])
def test_the_demo_turned_is_found_as_the_demo_is(quarter, least):
    try:
        path = fetch(MULTI) / "videos" / "cam02.mp4"
    except StreamError as error:
        pytest.skip(str(error))
    detector, near = detectors.load("movenet-thunder"), []
    with av.open(str(path)) as video:
        frames = [f.to_ndarray(format="bgr24") for k, f in enumerate(video.decode(video=0)) if k % 10 == 0]
    upright, turned = detector.session(), detector.session()
    for k, frame in enumerate(frames):
        a, b = upright(frame, k / 6), turned(np.ascontiguousarray(np.rot90(frame, quarter)), k / 6)
        h, w = frame.shape[:2]
        x, y = b.xy[:, 0], b.xy[:, 1]
        back = np.stack({1: (w - 1 - y, x), 2: (w - 1 - x, h - 1 - y)}[quarter], -1)
        torso = np.linalg.norm(a.xy[sk.R_SHOULDER] - a.xy[sk.L_HIP])
        near.append((np.linalg.norm(a.xy - back, axis=-1) < 0.2 * torso)[list(LIMBS)])
    assert np.mean(near) >= least
