"""The picture of several people: who has which colour and label, where each stands, and that all of it can be read."""

from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from calibration.geometry.camera import world_to_camera
from engines.skeleton import HEAD, PELVIS
from stream.drawing import compose as composing
from stream.drawing import primitives as draw
from stream.drawing.compose import compose
from stream.drawing.facts import Status
from stream.drawing.figures import figures, follow, own_colour, shift
from stream.drawing.layout import arrange as _layout
from stream.drawing.look import look_at
from stream.drawing.panel import draw_scene
from stream.drawing.scene import ViewState, camera_to_stage, world_axes
from stream.drawing.sheet import Sheet
from stream.recordings.run_info import RunInfo
from stream.types import Estimate
from tests.walker import UP, alone, crowd, looking_at, multi, photograph, single, standing_at, view_of, walker

STATUS = Status(fps=29.8, latency_ms=41, drops=3, detector="movenet-thunder", runtime="onnxruntime")

# Machado, Oliveira and Fernandes, IEEE TVCG 2009: dichromats, in linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colours: list[draw.Colour], blindness: str) -> np.ndarray:
    """CIE L*a*b* of BGR colours as somebody sees them."""
    rgb = np.array(colours, float)[:, ::-1] / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(BLINDNESS[blindness]).T, 0, 1)
    # OpenCV takes sRGB for floats too.
    srgb = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(srgb[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_nobody_takes_one_person_for_another(blindness: str) -> None:
    seen = lab([*draw.PEOPLE, draw.PANEL], blindness)
    for a, b in combinations(seen, 2):
        assert np.linalg.norm(a - b) > 20, "10 times what is just noticeable"


def seen(ids: list[int], view: ViewState | None = None, t: float = 0.1, cameras: int = 1) -> ViewState:
    """The view after a moment in which these are there."""
    estimate, _, run_info = crowd(ids, cameras, t=t) if ids else (alone(None, t=t), {}, single()[2])
    return follow(view or ViewState(cameras=run_info.cameras), estimate)


def test_colours_go_with_ids_and_stay() -> None:
    view = seen([2, 5])
    assert own_colour(view, 2) == draw.PEOPLE[2] and own_colour(view, 5) == draw.PEOPLE[5]
    view = seen([5], view, 0.2)
    assert own_colour(view, 5) == draw.PEOPLE[5], "also when the other one has left"
    view = seen([2, 5, 8], view, 0.3)
    assert own_colour(view, 2) == draw.PEOPLE[2]
    assert own_colour(view, 8) not in (None, draw.PEOPLE[2], draw.PEOPLE[5]), "8 % 6 is 2, who is still there"


def test_a_newcomer_gets_the_colour_of_whom_nobody_saw_for_the_longest() -> None:
    view = seen([0, 1, 2, 3, 4, 5])
    view = seen([1, 2, 3, 4, 5], view, 1.0)
    view = seen([1, 2, 3, 5], view, 4.0)
    view = seen([1, 2, 3, 5, 10], view, 4.1)
    assert own_colour(view, 10) == draw.PEOPLE[4]
    view = seen([1, 2, 3, 5, 10, 11], view, 4.2)
    assert own_colour(view, 11) == draw.PEOPLE[0], "11 % 6 is 5, who is still there"
    crowded = seen([1, 2, 3, 5, 10, 11], view, 4.3)
    assert len({own_colour(crowded, k) for k in (1, 2, 3, 5, 10, 11)}) == 6


def test_more_people_than_colours_share_them() -> None:
    view = ViewState(cameras=single()[2].cameras)
    first, second = crowd([0, 1, 2, 3, 4, 5])[0], crowd([6, 7, 8, 9, 10, 11])[0]
    estimate = replace(first, people=first.people + second.people)
    view = follow(view, estimate)
    assert own_colour(view, 7) == own_colour(view, 1) == draw.PEOPLE[1]
    assert compose({}, estimate, STATUS, view).shape == (720, 1280, 3)


def test_one_person_is_drawn_by_sides_until_there_was_another() -> None:
    view = seen([0])
    assert own_colour(view, 0) is None
    view = seen([0, 1], view, 0.2)
    assert own_colour(view, 0) == draw.PEOPLE[0]
    view = seen([0], view, 0.3)
    assert own_colour(view, 0) == draw.PEOPLE[0]
    returned = seen([1], seen([0]), 9.0)
    assert own_colour(returned, 1) == draw.PEOPLE[1], "an id that came instead of another is told, too"


def where(picture: np.ndarray, colour: draw.Colour) -> np.ndarray:
    """(N, 2) x, y of the pixels of exactly a colour."""
    return np.argwhere((picture == colour).all(-1))[:, ::-1]


@pytest.mark.parametrize("count", [2, 5, 6])
def test_every_person_in_an_image_has_colour_and_label(count: int) -> None:
    estimate, images, run_info = crowd(range(count))
    picture = compose(images, estimate, STATUS, ViewState(cameras=run_info.cameras))
    ((x, y, w, h),), _, _ = _layout([(1280, 720)], (1280, 720))
    tile = picture[y : y + h, x : x + w]
    for k, person in enumerate(estimate.people):
        view = person.views[0]
        assert view is not None
        xy = view.detection.xy[view.detection.score > 0] * w / 1280
        drawn = where(tile, draw.PEOPLE[k])
        assert len(drawn) > 150, "the label at least is of exactly that colour"
        top = xy[xy[:, 1].argmin()]
        assert np.hypot(*(drawn - top).T).min() < 60
        assert (drawn[:, 1] < top[1]).sum() > 100, "the label is above the head"


def panel_with(
    estimate: Estimate, run_info: RunInfo, size: tuple[int, int] = (504, 720)
) -> tuple[np.ndarray, ViewState]:
    view = follow(ViewState(cameras=run_info.cameras), estimate)
    panel = np.zeros((size[1], size[0], 3), np.uint8)
    draw.fill(panel, draw.PANEL)
    draw_scene(panel, (0, 44, size[0], size[1] - 74), estimate, view)
    return panel, view


@pytest.mark.parametrize("cameras", [1, 4])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_panel_holds_all_people_and_their_labels(count: int, cameras: int) -> None:
    estimate, _, run_info = crowd(range(count), cameras)
    panel, _ = panel_with(estimate, run_info)
    for k in range(count):
        drawn = where(panel, draw.PEOPLE[k])
        assert len(drawn) > 100
        inside = (drawn > 2).all(1) & (drawn < [501, 717]).all(1)
        assert inside.mean() > 0.99


def test_fused_people_stand_in_their_places_of_the_world() -> None:
    estimate, _, run_info = crowd([3, 7], 4)
    view = follow(ViewState(cameras=run_info.cameras), estimate)
    R, _ = world_axes([c.calibration for c in run_info.cameras if c.calibration is not None])
    first, second = figures(estimate, view)
    assert (first.person_id, second.person_id) == (3, 7)
    for k, person in enumerate((first, second)):
        assert np.allclose(person.joints, standing_at(k, 0.1) @ R.T, atol=1e-6)
        assert (shift(person, view) == 0).all()


def test_one_cameras_people_stand_at_their_roots_and_on_one_floor() -> None:
    # Looking down by 25 degrees, whoever stands farther away is higher in the camera's axes.
    camera = looking_at("cam0", np.array([0, -6000.0, 3300]), np.array([0, 0, 500.0]), (1280, 720), None)
    worlds = [walker(0.1) + [-800, -1500, 0], walker(0.1) + [800, 1500, 0]]
    estimate, _, run_info = crowd([0, 1])
    people = tuple(
        replace(p, views=(view_of(camera, world),)) for p, world in zip(estimate.people, worlds, strict=True)
    )
    estimate = replace(estimate, people=people)
    view = follow(ViewState(cameras=run_info.cameras), estimate)
    shown = [person.joints + shift(person, view) for person in figures(estimate, view)]
    apart = (shown[1] - shown[0])[PELVIS]
    local = [world_to_camera(camera, world)[PELVIS] for world in worlds]
    assert np.allclose(apart[:2], (local[1] - local[0])[[0, 2]], atol=1e-6)
    soles = [joints[[3, 6], 2].min() for joints in shown]
    assert soles[0] == pytest.approx(soles[1], abs=1e-6)
    raw = [figure.joints[[3, 6], 2].min() for figure in figures(estimate, view)]
    assert abs(raw[0] - raw[1]) > 800, "as it would be without a floor"


def test_whose_place_is_not_sure_does_not_lower_the_floor_of_the_others() -> None:
    estimate, _, run_info = crowd([0, 1], 4)
    first, second = estimate.people
    assert second.pose is not None
    low = replace(second.pose, method="single", joints=second.pose.joints - [0, 0, 600])
    view = ViewState(cameras=run_info.cameras)
    fused = follow(view, replace(estimate, people=(first,))).stage
    both = follow(view, replace(estimate, people=(first, replace(second, pose=low)))).stage
    alone_there = follow(view, replace(estimate, people=(replace(second, pose=low),))).stage
    assert fused is not None and both is not None and alone_there is not None
    assert both.floor == fused.floor
    assert alone_there.floor < fused.floor - 400, "but there is no better one where nobody is fused"


def test_without_a_calibration_the_panel_shows_the_people_of_one_camera() -> None:
    estimate, _, run_info = crowd([0, 1, 2], 2, fused=False)
    unknown = replace(run_info, cameras=tuple(replace(c, calibration=None, fov_degrees=55) for c in run_info.cameras))
    a, b, c = estimate.people
    some = replace(estimate, people=(replace(a, views=(None, a.views[1])), b, replace(c, views=(None, c.views[1]))))
    view = ViewState(cameras=unknown.cameras)
    assert [(p.person_id, p.camera) for p in figures(some, view)] == [(1, "cam01")]
    nobody = replace(estimate, people=(replace(a, views=(None, a.views[1])), replace(c, views=(None, c.views[1]))))
    assert [(p.person_id, p.camera) for p in figures(nobody, view)] == [(0, "cam02"), (2, "cam02")]
    known = ViewState(cameras=run_info.cameras)
    shown = figures(some, known)
    assert [(p.person_id, p.camera) for p in shown] == [(0, "cam02"), (1, "cam01"), (2, "cam02")]
    view_c = c.views[1]
    assert view_c is not None and view_c.answer is not None and view_c.root is not None
    assert np.allclose(shown[2].joints, camera_to_stage(known, 1, view_c.answer + view_c.root))


def test_the_view_glides_when_somebody_comes_and_goes() -> None:
    view, middles, reaches = None, [], []
    for k in range(60):
        view = seen([0, 1] if 20 <= k < 40 else [0], view, k / 30)
        assert view.stage is not None
        middles.append(view.stage.root[0])
        reaches.append(view.stage.reach)
    assert np.ptp(middles) > 600 and np.abs(np.diff(middles)).max() < 120
    assert max(reaches) > 500 and np.diff(reaches).min() > -120 and np.diff(reaches).max() < 0.4 * max(reaches)


def test_whoever_comes_is_in_the_picture_within_a_third_of_a_second() -> None:
    view = None
    for k in range(20):
        view = seen([0, 1] if k >= 5 else [0], view, k / 30)
        assert view.stage is not None
        roots = np.array([place.root for place in view.stage.places.values()])
        away = np.linalg.norm((roots - view.stage.root)[:, :2], axis=1).max()
        assert k < 15 or away < 1.1 * view.stage.reach, f"frame {k}"


@pytest.mark.parametrize("yaw", [-150, -60, 30, 120])
def test_who_lies_nearer_than_the_others_is_not_cut_off(yaw: float) -> None:
    estimate, _, info = crowd([0, 1])
    far = looking_at("cam0", np.array([0, -9500.0, 1700]), np.array([0, 0, 900.0]), (1280, 720), None)
    standing = walker(0.1) - [2600, 0, 0]
    lying = (walker(0.1) - [0, 0, 950]) @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]) + [2600, -1800, 300]
    people = [
        replace(person, views=(view_of(far, world),))
        for person, world in zip(estimate.people, (standing, lying), strict=True)
    ]
    view = ViewState(cameras=info.cameras, yaw=yaw)
    for k in range(30):
        view = follow(view, replace(estimate, t=k / 30, people=tuple(people)))
    area = (0, 44, 504, 646)
    eye = look_at(area, view).eye
    shown = figures(replace(estimate, people=tuple(people)), view)
    places = [eye.project(figure.joints + shift(figure, view))[0] for figure in shown]
    x, y = np.concatenate(places).T
    assert x.min() > 0 and x.max() < 504 and y.min() > 44 and y.max() < 690
    assert np.ptp(x) > 100, "and no smaller than is needed"


def test_while_it_records_the_caption_says_where_and_how_up_is_known() -> None:
    estimate, images, info = crowd([0, 1])
    view = follow(ViewState(cameras=info.cameras), estimate)
    told = []

    class Told(Sheet):
        """Notes what is written."""

        def text(self, words: str, *args: object, **kwargs: object) -> int:
            told.append(words)
            return super().text(words, *args, **kwargs)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composing, "Sheet", Told)
        for size in ((1280, 720), (1920, 1080), (640, 360)):
            compose(images, estimate, replace(STATUS, recording=True, take="takes/1"), replace(view, size=size))
    assert len([words for words in told if words.startswith("recording into takes/1 · up assumed")]) == 3


def test_who_returns_after_a_while_does_not_glide_from_where_they_were() -> None:
    view = seen([0, 1])
    view = seen([0], view, 1.5)
    view = seen([0], view, 3.0)
    estimate, _, _ = crowd([0, 1], t=4.0)
    there = figures(estimate, view)[1]
    view = follow(view, estimate)
    assert view.stage is not None
    assert np.allclose(view.stage.places[1].root, there.joints[PELVIS])


def test_the_next_person_is_told_of_and_after_the_last_the_first() -> None:
    view = seen([2, 5, 9])
    told = []
    for _ in range(4):
        view = view.next_person()
        told.append(view.selected)
    assert told == [5, 9, None, 5]
    left = seen([2, 9], replace(view, selected=5), 0.2)
    assert left.next_person().selected == 9
    assert ViewState().next_person().selected is None


def test_the_box_of_facts_tells_of_the_selected_person() -> None:
    estimate, images, run_info = crowd([0, 1])
    view = follow(ViewState(cameras=run_info.cameras), estimate)
    _, (x, y, w, h), _ = _layout([(1280, 720)], (1280, 720))

    def box(view: ViewState) -> np.ndarray:
        return compose(images, estimate, STATUS, view)[y : y + h, x : x + w]

    assert len(where(box(view), draw.PEOPLE[0])) > 100 and not len(where(box(view), draw.PEOPLE[1]))
    other = box(view.next_person())
    assert len(where(other, draw.PEOPLE[1])) > 100 and not len(where(other, draw.PEOPLE[0]))
    fused, images, run_info = crowd([0, 1], 4)
    picture = compose(images, fused, STATUS, ViewState(cameras=run_info.cameras))
    _, (x, y, w, h), _ = _layout([(1280, 720)] * 4, (1280, 720))
    both = picture[y : y + h, x : x + w]
    assert all(len(where(both, draw.PEOPLE[k])) > 60 for k in (0, 1)), "of fused people everybody's sigma"


def test_labels_never_cover_each_other() -> None:
    taken: list[draw.Rect] = []
    for _ in range(8):
        x, y = draw.free_place((50, 60, 24, 18), taken, (0, 0, 200, 300))
        taken.append((x, y, 24, 18))
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(taken, 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
    assert all(0 <= y <= 282 for _, y, _, _ in taken)
    assert draw.free_place((-40, -40, 24, 18), [], (0, 0, 200, 300)) == (0, 0)
    full = [(0, 0, 200, 300)]
    assert draw.free_place((50, 60, 24, 18), full, (0, 0, 200, 300)) == (50, 60), "where there is no room, there"


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("cameras", [1, 4])
def test_a_crowd_with_broken_numbers_does_not_break_the_picture(cameras: int, size: tuple[int, int]) -> None:
    estimate, images, run_info = crowd(range(6), cameras)
    a, b, c, d, e, f = estimate.people
    view = b.views[0]
    assert view is not None and view.answer is not None
    answer = view.answer.copy()
    answer[HEAD] = np.nan
    broken = (
        replace(a, pose=None, views=tuple(None for _ in a.views)),
        replace(b, pose=None, views=(replace(view, answer=answer), *b.views[1:])),
        replace(c, pose=None, views=(replace(view, root=np.full(3, np.nan)), *c.views[1:])),
        replace(d, pose=None, views=(replace(view, root=np.array([0.0, 0, -500])), *d.views[1:])),
        replace(e, pose=None, views=(replace(view, tracks=()), *e.views[1:])),
        f,
    )
    estimate = replace(estimate, people=broken)
    state = ViewState(cameras=run_info.cameras, size=size)
    for shown in (state, follow(state, estimate), replace(state, zoom=4, pitch=85, selected=99)):
        assert compose(images, estimate, STATUS, shown).shape == (size[1], size[0], 3)
    assert compose(images, replace(estimate, people=()), STATUS, follow(state, estimate)).any()
    only_seen = replace(estimate, people=(replace(c, pose=None, views=(replace(view, answer=None), *c.views[1:])),))
    assert compose(images, only_seen, STATUS, follow(state, only_seen)).any()


def test_the_title_says_how_many_and_how() -> None:
    from stream.drawing.compose import scene_title

    def title(estimate: Estimate, run_info: RunInfo) -> str:
        view = ViewState(cameras=run_info.cameras)
        return scene_title(figures(estimate, view), len(run_info.cameras), len(estimate.frames) > 1)

    assert title(crowd([0, 1])[0], crowd([0, 1])[2]) == "2 people · 5 hypotheses each"
    fused, _, run_info = crowd([0, 1, 2], 4)
    assert title(fused, run_info) == "3 people · fused · map"
    a, b, c = fused.people
    assert c.pose is not None
    single_view = replace(c, pose=replace(c.pose, method="single", cameras=("cam01",)))
    assert title(replace(fused, people=(a, b, single_view)), run_info) == "3 people · fused · map · 1 in a single view"
    assert b.pose is not None
    disputed = replace(b, pose=replace(b.pose, method="disputed"))
    told = "3 people · fused · map · views disagree on 1 · 1 in a single view"
    assert title(replace(fused, people=(a, disputed, single_view)), run_info) == told
    assert title(replace(fused, people=(a,)), run_info) == "fused · map · 4 of 4 cameras"
    assert title(multi(4)[0], multi(4)[2]) == "fused · map · 4 of 4 cameras"


def test_a_synthetic_crowd_is_what_these_tests_take_it_for() -> None:
    assert np.allclose(standing_at(0, 0.1)[PELVIS, :2], [-700, 200])
    assert standing_at(3, 0.4)[HEAD] @ UP > 1500
    assert photograph((64, 48)).any()
