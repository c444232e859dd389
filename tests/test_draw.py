"""The composed picture: who is where in it, which side is which, and what is not drawn."""

from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from calibration.geometry.camera import world_to_camera
from engines.skeleton import HEAD, L_ANKLE, L_SHOULDER, L_WRIST, PELVIS, R_ANKLE, R_SHOULDER, R_WRIST, SPINE
from engines.types import Detection
from stream.drawing import primitives as draw
from stream.drawing.compose import compose
from stream.drawing.facts import Status, status_facts
from stream.drawing.figures import Figure, figures, follow
from stream.drawing.layout import arrange as _layout
from stream.drawing.scene import ViewState, camera_to_stage, eye, gravity_known, world_axes
from stream.drawing.tiles import draw_skeleton
from stream.recordings.run_info import CameraInfo
from stream.types import Estimate
from tests.walker import (
    UP,
    WEIGHTS,
    alone,
    looking_at,
    multi,
    only_pose,
    only_view,
    photograph,
    ring,
    single,
    view_of,
    walker,
    with_person,
)

STATUS = Status(fps=29.8, latency_ms=41, drops=3, detector="movenet-thunder", runtime="onnxruntime")


def figure(estimate: Estimate, view: ViewState) -> Figure | None:
    """The first person as they stand in the scene."""
    return next(iter(figures(estimate, view)), None)


def near(image: np.ndarray, colour: draw.Colour) -> np.ndarray:
    """Mask of pixels of about a colour's hue: the shading in depth changes the brightness, never the hue."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2HSV).astype(int)
    hue = int(cv2.cvtColor(np.array([[colour]], np.uint8), cv2.COLOR_BGR2HSV)[0, 0, 0])
    return (np.abs(hsv[..., 0] - hue) < 7) & (hsv[..., 1] > 120) & (hsv[..., 2] > 90)


def panel_of(picture: np.ndarray, run_info, shape=(1280, 720)) -> np.ndarray:
    _, _, (x, y, w, h) = _layout([shape] * len(run_info.cameras), (picture.shape[1], picture.shape[0]))
    return picture[y + 45 : y + h - 32, x : x + w]


def without_ghosts(estimate: Estimate) -> Estimate:
    view = only_view(estimate)
    return with_person(estimate, views=(replace(view, tracks=view.tracks[:1]),))


@pytest.mark.parametrize("yaw", [0, 30, -40])
def test_the_raised_right_arm_is_left_in_the_panel_and_the_head_is_up(yaw: float) -> None:
    estimate, images, run_info = single()
    picture = compose(images, without_ghosts(estimate), STATUS, ViewState(cameras=run_info.cameras, yaw=yaw))
    panel = panel_of(picture, run_info)
    right, left = near(panel, draw.SIDE_RIGHT), near(panel, draw.SIDE_LEFT)
    assert right.sum() > 300 and left.sum() > 300
    assert np.nonzero(right)[1].mean() < np.nonzero(left)[1].mean()
    assert np.nonzero(right)[0].min() < np.nonzero(left)[0].min() - 20, "the raised arm is the right one"
    bright = (panel.min(-1) > 190).nonzero()[0]
    assert np.median(bright) < panel.shape[0] * 0.5, "the head's disc is in the upper half"


def test_from_behind_the_sides_change_over() -> None:
    estimate, images, run_info = single()
    picture = compose(images, without_ghosts(estimate), STATUS, ViewState(cameras=run_info.cameras, yaw=180))
    panel = panel_of(picture, run_info)
    right, left = near(panel, draw.SIDE_RIGHT), near(panel, draw.SIDE_LEFT)
    assert np.nonzero(right)[1].mean() > np.nonzero(left)[1].mean()


def test_straight_on_the_panel_shows_what_the_camera_sees() -> None:
    estimate, _, run_info = single()
    view = ViewState(cameras=run_info.cameras, yaw=0, pitch=0)
    person, seen = figure(estimate, view), only_view(estimate)
    assert person is not None
    xy, _ = eye(view, (0, 0, 500, 500), person.joints[PELVIS], 2400).project(person.joints)
    there = seen.detection.score > 0
    a, b = xy[there] - xy[there].mean(0), seen.detection.xy[there] - seen.detection.xy[there].mean(0)
    scale = (a * b).sum() / (b * b).sum()
    assert scale > 0
    assert np.abs(a - scale * b).max() < 0.04 * np.ptp(a), (
        "the same picture up to perspective, neither mirrored nor turned"
    )


def test_yaw_moves_the_eye_to_the_right_and_pitch_up() -> None:
    estimate, _, run_info = single()
    view = ViewState(cameras=run_info.cameras, yaw=90, pitch=0)
    person = figure(estimate, view)
    assert person is not None
    _, depth = eye(view, (0, 0, 500, 500), person.joints[PELVIS], 2400).project(person.joints)
    assert depth[L_SHOULDER] < depth[R_SHOULDER], "the person faces the camera, so its left is on the eye's side"
    above = eye(replace(view, pitch=60), (0, 0, 500, 500), person.joints[PELVIS], 2400).project(person.joints)[1]
    assert above[HEAD] < above[R_ANKLE]


def test_a_point_behind_the_eye_is_not_drawn() -> None:
    look = eye(ViewState(yaw=0, pitch=0), (0, 0, 500, 500), np.zeros(3), 2400)
    xy, depth = look.project(np.array([[0.0, -9000, 0], [0, 0, 0]]))
    assert np.isnan(xy[0]).all() and np.isnan(depth[0])
    assert np.allclose(xy[1], [250, 250])


def test_every_calibrated_camera_puts_the_person_in_one_place() -> None:
    estimate, _, run_info = multi(4)
    view = ViewState(cameras=run_info.cameras)
    fused = figure(estimate, view)
    assert fused is not None and fused.method == "map" and fused.cov is not None
    for k in range(len(estimate.frames)):
        seen = only_view(estimate, k)
        assert seen.answer is not None and seen.root is not None
        assert np.allclose(camera_to_stage(view, k, seen.answer + seen.root), fused.joints, atol=1e-6)
    assert np.allclose(np.trace(fused.cov, axis1=1, axis2=2)[:16], 2200)


def test_a_calibrated_camera_on_its_side_is_levelled_and_an_unknown_one_is_marked() -> None:
    level = looking_at("cam0", np.array([0, -4200.0, 1150]), np.array([0, 0, 950.0]), (1280, 720), UP)
    roll = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rolled = replace(level, R=roll @ level.R, t=roll @ level.t)
    seen = view_of(rolled, walker(0.1))
    estimate = alone(seen, t=0.1)
    assert seen.answer is not None
    assert abs(seen.answer[HEAD, 0]) > 500, "in the image the person lies"
    view = ViewState(cameras=(CameraInfo("cam0", "s", "synthetic", (1280, 720), rolled),))
    person = figure(estimate, view)
    assert person is not None and gravity_known(view)
    assert person.joints[HEAD, 2] - person.joints[L_ANKLE, 2] > 1200
    assert not gravity_known(replace(view, cameras=(CameraInfo("cam0", "s", "synthetic", (1280, 720), None, 60.0),)))


def test_without_gravity_the_mean_of_the_images_ups_is_taken() -> None:
    R, known = world_axes(ring(4, (1280, 720), up=None))
    assert not known
    assert np.allclose(R[2], UP, atol=1e-6)
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-9) and np.linalg.det(R) > 0


def test_the_floor_holds_through_a_jump_and_the_place_through_noise() -> None:
    random = np.random.default_rng(1)
    camera = looking_at("cam0", np.array([0, -4200.0, 1150]), np.array([0, 0, 950.0]), (1280, 720), None)
    view = ViewState(cameras=(CameraInfo("cam0", "s", "synthetic", (1280, 720), None, 55.0),))
    raw, calm, floors = [], [], []
    for k in range(120):
        t = k / 30
        up = 350.0 if 60 <= k < 75 else 0.0
        seen = view_of(camera, walker(0.1) + [0, 0, up])
        assert seen.root is not None
        root = seen.root + [0, 0, random.normal(0, 60)]
        seen = replace(seen, root=root)
        view = follow(view, alone(seen, index=k, t=t))
        assert view.stage is not None
        raw.append(root[2])
        calm.append(view.stage.root[1])
        floors.append(view.stage.floor)
    assert np.std(np.diff(calm)) < 0.3 * np.std(np.diff(raw))
    assert max(floors[60:90]) - floors[59] < 80, "a jump does not lift the floor"
    fall = follow(view, alone(view_of(camera, walker(0.1) - [0, 0, 600]), index=121, t=4.04))
    assert fall.stage is not None and view.stage is not None
    assert fall.stage.floor < view.stage.floor - 40, "but it gives way downwards as soon as the figure is drawn there"


def test_a_jump_in_time_begins_a_new_stage() -> None:
    estimate, _, run_info = single()
    view = follow(ViewState(cameras=run_info.cameras), estimate)
    seen = only_view(estimate)
    assert seen.root is not None
    moved = replace(seen, root=seen.root + [900.0, 0, 0])
    soon = follow(view, alone(moved, index=1, t=estimate.t + 0.03)).stage
    late = follow(view, alone(moved, index=1, t=estimate.t + 60)).stage
    assert soon is not None and late is not None and view.stage is not None
    assert late.root[0] - view.stage.root[0] == pytest.approx(900)
    assert soon.root[0] - view.stage.root[0] < 300


def detection(**scores: float) -> Detection:
    seen = view_of(
        looking_at("c", np.array([0, -4200.0, 1150]), np.array([0, 0, 950.0]), (640, 480), None), walker(0.1)
    ).detection
    score = seen.score.copy()
    for joint, value in scores.items():
        score[int(joint[1:])] = value
    return Detection(seen.xy, score, seen.derived, "test")


def test_what_is_not_seen_is_not_drawn() -> None:
    full, part = np.full((480, 640, 3), 90, np.uint8), np.full((480, 640, 3), 90, np.uint8)
    draw_skeleton(full, detection(), (1, 1))
    hidden = detection(**{f"j{R_WRIST}": 0.0})
    draw_skeleton(part, hidden, (1, 1))
    x, y = detection().xy[R_WRIST].round().astype(int)
    assert (full[y - 3 : y + 4, x - 3 : x + 4] != 90).any()
    assert (part[y - 3 : y + 4, x - 3 : x + 4] == 90).all()
    empty = np.full((480, 640, 3), 90, np.uint8)
    draw_skeleton(empty, replace(hidden, score=np.zeros(17, np.float32)), (1, 1))
    assert (empty == 90).all()
    assert hidden.score[SPINE] == 0


def test_the_skeleton_lies_on_the_person_when_the_image_is_scaled() -> None:
    small = np.full((240, 320, 3), 90, np.uint8)
    draw_skeleton(small, detection(), (0.5, 0.5))
    for joint in (R_WRIST, L_WRIST, R_ANKLE):
        x, y = (detection().xy[joint] * 0.5).round().astype(int)
        assert (small[y, x] != 90).any()


def test_sides_scores_and_derived_joints_can_be_told_apart() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    draw_skeleton(image, detection(), (1, 1))
    right, left = near(image, draw.SIDE_RIGHT).nonzero()[1], near(image, draw.SIDE_LEFT).nonzero()[1]
    assert right.mean() < left.mean(), "the person faces the camera"

    def disc_area(derived: bool) -> int:
        score = np.zeros(17, np.float32)
        score[[PELVIS, HEAD, R_ANKLE]] = 0.9
        flags = np.zeros(17, bool)
        flags[PELVIS] = derived
        one = np.zeros((480, 640, 3), np.uint8)
        draw_skeleton(one, Detection(detection().xy, score, flags, "test"), (1, 1))
        x, y = detection().xy[PELVIS].round().astype(int)
        return int((one[y - 12 : y + 13, x - 12 : x + 13].max(-1) > 0).sum())

    assert disc_area(True) < 0.75 * disc_area(False)
    light = cv2.cvtColor(draw.score_colours()[None], cv2.COLOR_BGR2LAB)[0, :, 0].astype(int)
    assert (np.diff(light) >= -1).all() and light[-1] - light[0] > 100, "perceptually ordered"


def test_ghosts_are_stronger_the_more_probable_they_are() -> None:
    estimate, images, run_info = single()
    view = ViewState(cameras=run_info.cameras, yaw=60)
    seen = only_view(estimate)

    def strength(probability: float) -> float:
        two = (
            replace(seen.tracks[0], probability=0.9),
            replace(seen.tracks[4], probability=probability * 0.8),
        )
        with_ghost = compose(images, with_person(estimate, views=(replace(seen, tracks=two),)), STATUS, view)
        without = compose(images, with_person(estimate, views=(replace(seen, tracks=two[:1]),)), STATUS, view)
        a, b = panel_of(with_ghost, run_info).astype(int), panel_of(without, run_info).astype(int)
        changed = np.abs(a - b).max(-1)
        return float(changed[changed > 0].mean())

    weak, strong = strength(0.05), strength(0.9)
    assert 8 < weak < 0.6 * strong


def test_the_answer_shown_is_the_most_probable_track_and_ghosts_are_the_others() -> None:
    estimate, _, run_info = single()
    person = figure(estimate, ViewState(cameras=run_info.cameras))
    assert person is not None and person.probability == pytest.approx(WEIGHTS[0])
    assert [p for _, p in person.ghosts] == sorted(WEIGHTS[1:])


def test_a_covariance_is_drawn_as_it_is_seen() -> None:
    estimate, images, run_info = multi(2)
    view = ViewState(cameras=run_info.cameras, yaw=0, pitch=0)
    R, _ = world_axes([c.calibration for c in run_info.cameras if c.calibration is not None])

    def extent(direction: np.ndarray) -> tuple[int, int, float]:
        axis = R.T @ direction
        pose = only_pose(estimate)
        cov = np.repeat((1e-4 * np.eye(3))[None], 17, 0)
        plain = compose(images, with_person(estimate, pose=replace(pose, cov=cov)), STATUS, view)
        cov = cov.copy()
        cov[HEAD] += np.outer(axis, axis) * 400.0**2
        wide = compose(images, with_person(estimate, pose=replace(pose, cov=cov)), STATUS, view)
        ys, xs = np.nonzero(np.abs(panel_of(wide, run_info).astype(int) - panel_of(plain, run_info)).max(-1) > 6)
        return int(np.ptp(xs)), int(np.ptp(ys)), float(np.corrcoef(xs, ys)[0, 1])

    x, y, _ = extent(np.array([1.0, 0, 0]))
    assert x > 3 * y, "uncertain to the right: a flat ellipse"
    x, y, lean = extent(np.array([1.0, 0, 1.0]) / np.sqrt(2))
    assert x == pytest.approx(y, rel=0.3) and lean < -0.6, "right and up, in an image whose y points down"


def test_an_oblique_covariance_leans_the_right_way() -> None:
    layer = draw.Layer.like(np.zeros((200, 200, 3), np.uint8))
    layer.ellipse(np.array([100.0, 100]), (60.0, 4.0), -45.0, draw.TEXT, 1.0)
    ys, xs = np.nonzero(layer.alpha)
    assert np.corrcoef(xs, ys)[0, 1] < -0.9, "-45 degrees is up to the right in an image whose y points down"


@pytest.mark.parametrize("count", range(1, 17))
@pytest.mark.parametrize("shape", [(1280, 720), (640, 480), (1080, 1920), (3840, 800), (500, 500)])
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_nothing_overlaps_and_all_is_inside(count: int, shape: tuple[int, int], size: tuple[int, int]) -> None:
    tiles, info, scene = _layout([shape] * count, size)
    everything = [*tiles, info, scene]
    assert len(tiles) == count
    for x, y, w, h in everything:
        assert x >= 0 and y >= 0 and w > 20 and h > 10 and x + w <= size[0] and y + h <= size[1]
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(everything, 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
    for _, _, w, h in tiles:
        assert w / h == pytest.approx(shape[0] / shape[1], rel=0.12)
    assert scene[2] >= 0.3 * size[0] and scene[3] >= 0.6 * size[1]
    assert info[3] >= 130


def test_the_picture_says_what_is_missing() -> None:
    estimate, images, run_info = single()
    images["cam0"].flags.writeable = False
    view = ViewState(cameras=run_info.cameras)
    kept = images["cam0"].copy()
    shown = compose(images, estimate, STATUS, view)
    assert shown.shape == (720, 1280, 3) and shown.dtype == np.uint8 and shown.flags.writeable
    assert (images["cam0"] == kept).all(), "images belong to everybody"
    empty_detection = compose(images, alone(None), STATUS, view)
    absent = compose({}, Estimate(index=0, t=0.0, frames=(None,), people=()), STATUS, view)
    for picture in (empty_detection, absent):
        panel = panel_of(picture, run_info)
        assert not near(panel, draw.SIDE_RIGHT).any() and not near(panel, draw.SIDE_LEFT).any()
    assert (absent[:400, :700] != empty_detection[:400, :700]).any(-1).mean() > 0.9
    held = compose(
        images, estimate, replace(STATUS, recording=True, note="the disk is full"), replace(view, paused=True)
    )
    assert (held != shown).any(-1).sum() > 500


def test_broken_numbers_do_not_break_the_picture() -> None:
    estimate, images, run_info = single()
    seen = only_view(estimate)
    assert seen.answer is not None and seen.root is not None
    answer = seen.answer.copy()
    answer[[HEAD, L_WRIST]] = np.nan
    some = replace(seen, answer=answer)
    nothing = replace(seen, answer=np.full((17, 3), np.nan), root=np.full(3, np.nan))
    behind = replace(seen, root=np.array([0.0, 0, -500]))
    far = replace(seen, root=np.array([0.0, 0, 1e7]))
    view = ViewState(cameras=run_info.cameras)
    for broken in (some, nothing, behind, far):
        frame_set = alone(broken)
        assert compose(images, frame_set, STATUS, follow(view, frame_set)).shape == (720, 1280, 3)
    for extreme in (
        replace(view, pitch=85),
        replace(view, pitch=-85),
        replace(view, zoom=4),
        replace(view, size=(640, 360)),
    ):
        assert compose(images, estimate, STATUS, extreme).shape[:2] == extreme.size[::-1]


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_many_cameras_are_drawn_around_the_person(count: int) -> None:
    estimate, images, run_info = multi(count, absent=(1,))
    view = follow(ViewState(cameras=run_info.cameras), estimate)
    picture = compose(images, estimate, STATUS, view)
    panel = panel_of(picture, run_info)
    assert near(panel, draw.SIDE_RIGHT).sum() > 60 and near(panel, draw.SIDE_LEFT).sum() > 60
    tiles, _, _ = _layout([(1280, 720)] * count, (1280, 720))
    for k, (x, y, w, h) in enumerate(tiles):
        drawn = near(picture[y : y + h, x : x + w], draw.SIDE_RIGHT).sum()
        assert drawn == 0 if k == 1 else drawn > 20


def test_turning_stays_in_range() -> None:
    view = ViewState()
    for _ in range(100):
        view = view.turned(5, 5)
    assert -180 <= view.yaw < 180 and view.pitch == 85
    assert view.turned(0, -500).pitch == -85


def test_text_is_cut_to_its_room_and_legible_on_any_ground() -> None:
    words = draw.fit_text("recording stopped: no space left on the device", 120, 13)
    assert words.endswith("…") and draw.text_size(words, 13) <= 120
    assert draw.fit_text("short", 120, 13) == "short"
    for ground in (0, 128, 255):
        image = np.full((60, 300, 3), ground, np.uint8)
        x, y, w, h = draw.tag(image, "nobody in view", (10, 10))
        box = cv2.cvtColor(image[y : y + h, x : x + w], cv2.COLOR_BGR2GRAY).astype(int)
        assert box.max() - np.median(box) > 110


def test_status_leaves_out_what_is_not_known() -> None:
    assert dict(status_facts(Status())) == {"fps": "–", "drops": "0", "detector": "–", "runtime": "–"}
    facts = dict(status_facts(replace(STATUS, skew_ms=(4.25, 9.1, 16.0))))
    assert facts["latency"] == "41 ms" and facts["skew"] == "4.2/9.1/16.0 ms" and facts["drops"] == "3"


def test_the_synthetic_walker_is_what_these_tests_take_it_for() -> None:
    joints = walker(0.1)
    assert joints[R_WRIST, 2] > joints[HEAD, 2] and joints[R_WRIST, 0] < 0 < joints[L_WRIST, 0]
    camera = looking_at("c", np.array([0, -4200.0, 1150]), np.array([0, 0, 950.0]), (1280, 720), None)
    assert world_to_camera(camera, joints)[R_WRIST, 0] < 0
    assert photograph((64, 48)).shape == (48, 64, 3)
