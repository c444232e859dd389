"""What the window shows and from where: layout for any size, mirror, close-ups, whose 3D, picking. No display."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from calibration.geometry.camera import camera_from_fov
from engines.skeleton import HEAD, L_ANKLE, L_WRIST, NECK, R_WRIST, THORAX
from engines.types import ExtraJoints
from stream.drawing import primitives as draw
from stream.drawing.compose import captions, compose, layout_of
from stream.drawing.facts import Status
from stream.drawing.figures import figures, first_camera, follow, ghost_opacity, shift
from stream.drawing.keys import KEYS
from stream.drawing.layout import arrange, scene_area
from stream.drawing.look import look_at
from stream.drawing.picking import pick
from stream.drawing.scene import ViewState
from stream.drawing.sheet import text_scale
from stream.drawing.tiles import head_in_image, lifted_head, mirrored
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.sinks.window import in_picture, on_dark, picture_size
from stream.types import Estimate
from tests.walker import crowd, looking_at, multi, only_view, single, view_of, walker, with_person

STATUS = Status(fps=29.8, latency_ms=41, drops=3, detector="movenet-thunder", runtime="onnxruntime")
SIZES = [(640, 360), (1280, 720), (1920, 1080), (3840, 2160), (1500, 500), (700, 1000), (640, 1200)]


def uncalibrated(second_sees: bool = True) -> tuple[Estimate, dict[str, np.ndarray | None], RunInfo]:
    """Two cameras that nobody calibrated, one from each side of the walker."""
    estimate, images, info = multi(2)
    (person,) = estimate.people
    person = replace(person, pose=None, views=(person.views[0], person.views[1] if second_sees else None))
    cameras = tuple(replace(c, calibration=None, fov_degrees=55.0) for c in info.cameras)
    return replace(estimate, people=(person,)), images, replace(info, cameras=cameras)


def looked_at(made: tuple[Estimate, dict[str, np.ndarray], RunInfo], **how: object) -> ViewState:
    return follow(ViewState(cameras=made[2].cameras, **how), made[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shapes", [[(1280, 720)], [(1080, 1920)] * 2, [(1280, 720)] * 4, [(640, 480)] * 9])
def test_the_parts_are_laid_out_for_the_size(size: tuple[int, int], shapes: list[tuple[int, int]]) -> None:
    tiles, info, scene = arrange(shapes, size)
    covered = np.zeros(size[::-1], np.uint8)
    for x, y, w, h in (*tiles, info, scene):
        assert x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= size[0] and y + h <= size[1]
        covered[y : y + h, x : x + w] += 1
    assert covered.max() == 1, "none lies over another"
    _, _, w, h = scene_area(scene, size)
    assert min(w, h) > 0.2 * min(size), "there is room for a figure"
    assert info[3] >= 100 * text_scale(size)


def test_text_grows_with_the_picture_and_never_gets_too_small_to_read() -> None:
    assert [round(12 * text_scale(size)) for size in SIZES[:4]] == [10, 12, 18, 36]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_person_between_upright_cameras_is_not_small(count: int) -> None:
    made = multi(count, size=(1080, 1920))
    view = looked_at(made)
    _, _, scene = layout_of(made[1], made[0], view)
    _, _, w, h = scene_area(scene, view.size)
    (person,) = figures(made[0], view)
    xy, _ = look_at((0, 0, w, h), view).eye.project(person.joints + shift(person, view))
    tall = np.ptp(xy[[HEAD, L_ANKLE], 1])
    assert tall > {1: 300, 2: 150, 4: 120}[count]


@pytest.mark.parametrize("zoom", [1.0, 1.15, 1.32])
def test_a_zoom_leaves_the_legs_in_the_picture_and_the_caption_free(zoom: float) -> None:
    made = single()
    view = looked_at(made, zoom=zoom)
    _, _, scene = layout_of(made[1], made[0], view)
    x, y, w, h = scene_area(scene, view.size)
    (person,) = figures(made[0], view)
    xy, _ = look_at((0, 0, w, h), view).eye.project(person.joints + shift(person, view))
    assert xy[[3, 6], 1].max() < h
    far = compose(made[1], made[0], STATUS, replace(view, zoom=4.0))
    band = far[y + h : scene[1] + scene[3], x : x + w]
    plain = compose(made[1], made[0], STATUS, replace(view, zoom=1.0))[y + h : scene[1] + scene[3], x : x + w]
    assert (band == plain).all(), "nothing of the scene reaches over the caption"


def test_the_figure_stands_on_its_shadow_when_its_place_lags_behind() -> None:
    camera = looking_at("cam0", np.array([0, -4200.0, 1150]), np.array([0, 0, 950.0]), (1280, 720), None)
    view = ViewState(cameras=(CameraInfo("cam0", "s", "synthetic", (1280, 720), None, 55.0),))
    random, gaps = np.random.default_rng(0), []
    for k in range(60):
        seen = view_of(camera, walker(0.1))
        assert seen.root is not None
        moved = replace(seen, root=seen.root * (1 + 0.03 * random.normal()))
        estimate = with_person(single(index=k, t=k / 30)[0], views=(moved,))
        view = follow(view, estimate)
        (person,) = figures(estimate, view)
        assert view.stage is not None
        drawn = person.joints + shift(person, view)
        gaps.append(drawn[[3, 6], 2].min() - view.stage.floor)
    assert np.mean(gaps[20:]) == pytest.approx(75, abs=35), "an ankle is 75 mm above the floor"


def test_the_caption_tells_turn_and_elevation_in_as_many_words_as_fit() -> None:
    view = replace(looked_at(single()), yaw=-40, pitch=-20, mirror=True)
    assert "40° left, 20° below" in captions(view)[0] and "mirrored" in captions(view)[0]
    assert all("40° left, 20° below" in words for words in captions(view))
    assert sorted(captions(view), key=len, reverse=True) == captions(view)


def test_a_mirror_exchanges_the_sides_of_picture_and_scene_and_not_of_the_body() -> None:
    made = single()
    view = replace(looked_at(made), yaw=0.0)
    seen = only_view(made[0]).detection
    turned = mirrored(seen, 1280)
    assert np.allclose(turned.xy[R_WRIST, 0] + seen.xy[R_WRIST, 0], 1279)
    assert (turned.score == seen.score).all()
    a, b = compose(made[1], made[0], STATUS, view), compose(made[1], made[0], STATUS, replace(view, mirror=True))
    ((x, y, w, h),), _, scene = layout_of(made[1], made[0], view)
    tile = np.abs(a[y : y + h, x : x + w].astype(int) - b[y : y + h, x : x + w][:, ::-1]).max(-1)
    assert (tile > 40).mean() < 0.01, "the tile is flipped, its skeleton with it"
    xs, ys, ws, hs = scene_area(scene, view.size)
    orange = [(np.abs(p[ys : ys + hs, xs : xs + ws].astype(int) - draw.SIDE_RIGHT).max(-1) < 60).nonzero()[1].mean()
              for p in (a, b)]  # fmt: skip
    assert orange[0] < ws / 2 < orange[1], "the right arm is on the right, as in a mirror"


def test_turning_goes_the_same_way_in_a_mirror() -> None:
    view = ViewState(yaw=30.0)
    assert view.turned(5, 0).yaw == 35 and replace(view, mirror=True).turned(5, 0).yaw == 25


def test_a_close_up_is_of_the_chosen_one_and_large() -> None:
    made = crowd([0, 1, 2], 4)
    view = looked_at(made)

    def tall(view: ViewState, person_id: int) -> tuple[float, np.ndarray]:
        person = next(p for p in figures(made[0], view) if p.person_id == person_id)
        xy, _ = look_at((0, 0, 500, 500), view).eye.project(person.joints + shift(person, view))
        return float(np.ptp(xy[:, 1])), xy.mean(0)

    before, _ = tall(view, 2)
    after, middle = tall(replace(view, selected=2, close=True), 2)
    assert after > 2 * before and after > 300
    assert np.abs(middle - 250).max() < 80, "in the middle of the panel"
    everybody = replace(view, close=True)
    assert tall(everybody, 0)[0] > 1.2 * tall(view, 0)[0]
    gone = replace(view, selected=17, close=True)
    assert compose(made[1], made[0], STATUS, gone).shape == (720, 1280, 3)


def test_the_camera_whose_3d_is_shown_can_be_chosen() -> None:
    made = uncalibrated()
    view = looked_at(made)
    assert [p.camera for p in figures(made[0], view)] == ["cam01"]
    other = replace(view, camera=1)
    assert [p.camera for p in figures(made[0], other)] == ["cam02"]
    assert view.next_camera(0).camera == 1 and other.next_camera(0).camera is None
    assert view.next_camera(1).camera == 0, "the second one is shown, as it alone sees somebody"
    assert first_camera(made[0]) == 0
    unseen, _, _ = uncalibrated(second_sees=False)
    assert figures(unseen, other) == (), "and of no other where it sees nobody"
    assert [p.camera for p in figures(unseen, view)] == ["cam01"]


def test_digits_choose_by_the_label() -> None:
    made = crowd([0, 3, 12])
    view = looked_at(made)
    assert [view.numbered(digit) for digit in "0312"] == [0, 3, None, 12]
    assert looked_at(single()).numbered("0") is None, "one person has no label"


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("cameras", [1, 4])
@pytest.mark.parametrize("size", [(640, 360), (1920, 1080)])
def test_a_click_finds_who_is_there(mirror: bool, cameras: int, size: tuple[int, int]) -> None:
    made = crowd([2, 5], cameras)
    view = replace(looked_at(made), mirror=mirror, size=size)
    tiles, info, scene = layout_of(made[1], made[0], view)
    for person in made[0].people:
        for index, (x, y, w, h) in enumerate(tiles):
            seen = person.views[index]
            assert seen is not None
            found = mirrored(seen.detection, 1280) if mirror else seen.detection
            at = found.xy[R_WRIST] * [w / 1280, h / 720] + [x, y]
            if not (x < at[0] < x + w and y < at[1] < y + h):
                continue
            picked = pick(tuple(at), made[1], made[0], view)
            assert picked.camera == index
            views = {p.person_id: v.detection for p in made[0].people if (v := p.views[index]) is not None}
            wrists = {i: (mirrored(d, 1280) if mirror else d).xy[R_WRIST] for i, d in views.items()}
            near = [i for i, wrist in wrists.items() if np.hypot(*(wrist - found.xy[R_WRIST])) < 60]
            assert picked.person_id in near
    x, y, w, h = scene_area(scene, size)
    for person in figures(made[0], view):
        head = look_at((0, 0, w, h), view).eye.project(person.joints + shift(person, view))[0][HEAD]
        picked = pick((head[0] + x, head[1] + y), made[1], made[0], view)
        assert picked.scene and picked.person_id is not None
    assert pick((info[0] + 5, info[1] + 5), made[1], made[0], view).person_id is None


def test_other_hypotheses_have_their_bars_strength_and_number() -> None:
    made = single()
    view = looked_at(made)
    _, _, scene = layout_of(made[1], made[0], view)
    x, y, w, h = scene_area(scene, view.size)
    shown = compose(made[1], made[0], STATUS, view)
    seen = only_view(made[0])
    one = with_person(made[0], views=(replace(seen, tracks=seen.tracks[:1]),))
    bare = compose(made[1], one, STATUS, view)
    changed = np.abs(shown[y : y + h, x : x + w].astype(int) - bare[y : y + h, x : x + w]).max(-1) > 40
    assert changed.sum() > 500
    assert ghost_opacity(0.0) > 0.2 and ghost_opacity(1.0) == 1.0 and ghost_opacity(7.0) == 1.0


def test_a_head_is_drawn_of_a_face_or_of_neck_and_top() -> None:
    seen = only_view(single()[0]).detection
    assert head_in_image(seen) is None, "nothing of it is seen"
    face = seen.xy[THORAX] - [0, 60]
    extra = ExtraJoints(("nose", "left_heel"), np.array([face, [5, 5]], np.float32), np.array([0.9, 0.9], np.float32),
                        np.full((2, 2, 2), np.nan))  # fmt: skip
    found = head_in_image(replace(seen, extra=extra))
    assert found is not None and np.allclose(found[0], face, atol=1e-3) and 8 < found[1] < 60
    xy, score = seen.xy.copy(), seen.score.copy()
    xy[HEAD], xy[NECK], score[[HEAD, NECK]] = face - [0, 40], face + [0, 30], 0.9
    top = head_in_image(replace(seen, xy=xy, score=score))
    assert top is not None and top[0][1] == pytest.approx(face[1] - 40 + top[1], abs=0.5)
    assert mirrored(replace(seen, extra=extra), 1280).extra is not None


@pytest.mark.parametrize("mirror", [False, True])
def test_of_a_detector_without_a_face_the_head_is_where_the_lifted_pose_has_it(mirror: bool) -> None:
    estimate, images, info = single()
    seen = only_view(estimate)
    assert seen.answer is not None and seen.root is not None
    found = lifted_head(seen.detection, seen.answer)
    camera = camera_from_fov("cam0", (1280, 720), info.cameras[0].fov_degrees or 60.0)
    middle = (seen.answer[HEAD] + seen.answer[NECK]) / 2 + seen.root
    truth = camera.K @ (middle / middle[2])
    assert found is not None and np.abs(found[0] - truth[:2]).max() < 0.3 * found[1] and 10 < found[1] < 40
    assert lifted_head(seen.detection, None) is None and lifted_head(seen.detection, seen.answer * np.nan) is None
    few = replace(seen.detection, score=np.where(np.arange(17) < 3, seen.detection.score, 0))
    assert lifted_head(few, seen.answer) is None
    view = replace(looked_at((estimate, images, info)), mirror=mirror)
    bare = with_person(estimate, views=(replace(seen, answer=None),))
    shown, without = (compose(images, one, STATUS, view) for one in (estimate, bare))
    ((x, y, w, h),), _, _ = layout_of(images, estimate, view)
    changed = np.argwhere(np.abs(shown[y : y + h, x : x + w].astype(int) - without[y : y + h, x : x + w]).max(-1) > 40)
    at = changed.mean(0)[::-1] * [1280 / w, 720 / h]
    assert np.abs(at - ([1279 - truth[0], truth[1]] if mirror else truth[:2])).max() < found[1]


def test_the_keys_are_shown_over_the_picture_at_every_size() -> None:
    made = single()
    for size in SIZES:
        view = replace(looked_at(made), size=size)
        a, b = compose(made[1], made[0], STATUS, view), compose(made[1], made[0], STATUS, replace(view, keys=True))
        assert (a != b).any(-1).mean() > 0.08
    assert {"q", "r", "m", "z"} <= {keys.split(",")[0] for keys, _ in KEYS}


@pytest.mark.parametrize(("room", "size"), [
    ((1280, 720), (1280, 720)), ((900, 600), (900, 600)), ((300, 200), (640, 360)), ((640, 200), (640, 360)),
    ((7680, 4320), (3840, 2160)), ((2000, 1), (2000, 360)),
])  # fmt: skip
def test_the_picture_has_the_windows_size_and_else_dark_bars(room: tuple[int, int], size: tuple[int, int]) -> None:
    assert picture_size(room) == size
    picture = np.full((size[1], size[0], 3), 200, np.uint8)
    shown = on_dark(picture, room)
    assert shown.shape == (room[1], room[0], 3)
    if size != room:
        bars = shown[(shown != 200).any(-1)]
        assert len(bars) == 0 or (cv2.cvtColor(bars[None], cv2.COLOR_BGR2GRAY) < 205).all()
        assert tuple(shown[0, 0]) in (draw.BACK, (200, 200, 200))
    middle = in_picture((room[0] // 2, room[1] // 2), size, room)
    assert middle == pytest.approx((size[0] / 2, size[1] / 2), abs=size[0] / room[0] + size[1] / room[1])


def test_the_wrist_of_the_walker_is_the_raised_one() -> None:
    assert walker(0.1)[R_WRIST, 2] > walker(0.1)[L_WRIST, 2]
