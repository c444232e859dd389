"""Boards that are not the one that was named, or hard to see: found by themselves, or said what was seen."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.boards import render
from calibration.errors import CalibrationError
from calibration.geometry.rotations import angle_degrees
from calibration.solving.board import DICTIONARIES, Board
from calibration.solving.check import check_board, picture
from calibration.solving.expected import board_in_world, expected_view
from calibration.solving.extrinsics import board_poses
from calibration.solving.find import find_board
from calibration.solving.floor import floor_from_board
from calibration.solving.person_seen import person_seen
from calibration.solving.sighting import why_unseen
from stream.app.calibrate.arguments import board_of, parser
from tests.calibration_scene import look_at, see

BOARD = Board("charuco", (7, 5), 35, 26)
SIZE = (960, 540)
SMALL = Board("charuco", (6, 4), 40, 30, "DICT_4X4_50")
ODD = Board("charuco", (7, 6), 40, 30, "DICT_4X4_50")


def shot(board, px=26, slant=20, spin=10, size=SIZE):
    return render(board, size, px, slant, spin, np.random.default_rng(0))


def errors(board, image, xy):
    view = find_board(board, image)
    assert view is not None
    return len(view.ids), np.linalg.norm(view.xy - xy[view.ids], axis=1).max()


@pytest.mark.parametrize(
    ("size", "px", "slant"), [(SIZE, 16, 0), ((1920, 1080), 20, 0), ((3840, 2160), 40, 0), (SIZE, 40, 65)]
)
def test_small_and_slanted_boards_are_found_in_pictures_of_every_size(size, px, slant):
    image, xy = shot(BOARD, px, slant, 0, size)
    count, error = errors(BOARD, image, xy)
    assert count >= 22 and error < 1.0


@pytest.mark.parametrize(
    "board",
    [
        BOARD,
        replace(SMALL, legacy=True),
        replace(BOARD, first_id=17),
        replace(BOARD, dictionary="DICT_APRILTAG_36h11"),
        replace(BOARD, dictionary="DICT_ARUCO_ORIGINAL"),
    ],
    ids=lambda board: board.describe()[16:],
)
def test_every_kind_is_found_as_printed_and_inverted(board):
    image, xy = shot(board)
    for picture_of_it in (image, 255 - image):
        count, error = errors(board, picture_of_it, xy)
        assert count == len(xy) and error < 0.5


def test_a_hand_before_it_hides_corners_and_moves_none():
    image, xy = shot(BOARD, 40)
    hidden = np.array(image)
    x, y = xy[8].round().astype(int)
    cv2.circle(hidden, (int(x), int(y)), 45, 90, -1)
    view = find_board(BOARD, hidden)
    assert view is not None and 12 <= len(view.ids) < 24 and 8 not in view.ids
    assert np.linalg.norm(view.xy - xy[view.ids], axis=1).max() < 0.6


def test_the_back_of_a_double_sided_board_has_the_corners_of_its_front():
    camera = look_at("c", [0, -2000.0, 1000], [0, 0, 1000], size=SIZE, dist=(0, 0, 0, 0, 0))
    image, xy = shot(BOARD)
    both = replace(BOARD, double_sided=True)
    back = np.ascontiguousarray(image[:, ::-1])
    assert find_board(BOARD, back) is None
    view, front = find_board(both, back), find_board(both, image)
    assert view is not None and front is not None and len(view.ids) == 24
    mirrored = np.stack([SIZE[0] - 1 - xy[view.ids, 0], xy[view.ids, 1]], 1)
    np.testing.assert_allclose(view.xy, mirrored, atol=0.5)
    # Its z axis points towards who looks at its back, and away from who looks at its front.
    toward = [board_poses(camera, both, one)[0][0][2, 2] for one in (view, front)]
    assert toward[0] < 0 < toward[1]


CASES = {
    "another dictionary": (BOARD, replace(BOARD, dictionary="DICT_4X4_50"), "give --dictionary DICT_4X4_50"),
    "rows and columns exchanged": (BOARD, replace(BOARD, squares=(5, 7)), "of DICT_5X5_50 were seen"),
    "the flag for that": (BOARD, replace(BOARD, squares=(5, 7)), "give --squares 5x7"),
    "a larger board": (BOARD, replace(BOARD, squares=(9, 6)), "give --squares 9x6"),
    "legacy": (SMALL, replace(SMALL, legacy=True), "give --legacy"),
    "not legacy": (replace(SMALL, legacy=True), SMALL, "give no --legacy"),
    "legacy, columns odd": (ODD, replace(ODD, legacy=True), "give --legacy"),
    "not legacy, columns odd": (replace(ODD, legacy=True), ODD, "give no --legacy"),
    "other ids": (BOARD, replace(BOARD, first_id=17), "markers 17-33 of DICT_5X5_50 were seen, on a ChArUco board"),
    "other ids, turned": (BOARD, replace(BOARD, first_id=17, squares=(5, 7)), "give --squares 5x7 --first-id 17"),
    "AprilTags": (BOARD, replace(BOARD, dictionary="DICT_APRILTAG_36h11"), "give --dictionary DICT_APRILTAG_36h11"),
    "another size of marker": (replace(BOARD, marker_mm=14), BOARD, "and 14 in 35 mm are 0.40"),
    "a chessboard": (BOARD, Board("chessboard", (9, 6), 30), "--board chessboard --corners 8x5"),
    "no chessboard": (Board("chessboard", (9, 6), 30), BOARD, "give --board charuco --squares 7x5"),
    "squares for corners": (Board("chessboard", (10, 7), 30), Board("chessboard", (9, 6), 30), "8x5 inner corners"),
    "more corners": (Board("chessboard", (8, 5), 30), Board("chessboard", (9, 6), 30), "give --corners 8x5"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_another_board_than_the_one_named_is_told(case):
    named, real, message = CASES[case]
    image, _ = shot(real)
    assert find_board(named, image) is None
    assert message in why_unseen(named, [image])


def test_what_hides_a_board_is_told():
    far, _ = shot(BOARD, 10, 0)
    assert find_board(BOARD, far) is None
    said = why_unseen(BOARD, [far])
    assert "pixels are too small, 15 are needed" in said and "--paper A2 or A1" in said
    image, _ = shot(BOARD)
    assert "--double-sided" in why_unseen(BOARD, [np.ascontiguousarray(image[:, ::-1])])
    assert "the camera mirrors its picture" in why_unseen(BOARD, [np.ascontiguousarray(image[:, ::-1])])
    assert "dark (brightness 5" in why_unseen(BOARD, [np.full((200, 300), 5, np.uint8)])
    assert "overexposed" in why_unseen(BOARD, [np.full((200, 300), 250, np.uint8)])
    assert "no marker of any dictionary" in why_unseen(BOARD, [np.full((200, 300), 120, np.uint8)])
    assert "white margin" in why_unseen(Board("chessboard", (9, 6), 30), [np.full((200, 300), 120, np.uint8)])


def test_two_boards_in_one_picture_are_not_taken_for_one():
    image, _ = shot(BOARD, 26, 0, 0, (640, 540))
    both = np.hstack([image, image])
    assert find_board(BOARD, both) is None and "more than once" in why_unseen(BOARD, [both])
    # One of other markers does not disturb.
    other, _ = shot(replace(BOARD, first_id=40), 26, 0, 0, (640, 540))
    view = find_board(BOARD, np.hstack([other, image]))
    assert view is not None and len(view.ids) == 24


def test_a_plain_grid_of_markers_is_named():
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_6X6_250)
    image = np.full((420, 520), 230, np.uint8)
    for k in range(20):
        y, x = 40 + k // 5 * 90, 40 + k % 5 * 90
        image[y : y + 64, x : x + 64] = dictionary.generateImageMarker(k, 64)
    assert "0-19 of DICT_6X6_50 lie in a plain grid of 5x4" in why_unseen(BOARD, [image])


def test_the_flags_of_boards():
    def board(*flags):
        return board_of(parser().parse_args(["board", "--out", "x.pdf", *flags]))

    made = board("--dictionary", "apriltag_36H11", "--first-id", "5", "--double-sided")
    assert made == Board("charuco", (7, 5), 35, 26, "DICT_APRILTAG_36h11", False, 5, True)
    assert board(*made.describe().split()) == made
    with pytest.raises(CalibrationError, match="a chessboard has no markers"):
        board("--board", "chessboard", "--corners", "8x5", "--legacy")
    with pytest.raises(CalibrationError, match="holds 50 markers, the board needs 17 from 40 up"):
        board("--dictionary", "4x4_50", "--first-id", "40")
    assert len(set(map(str.upper, DICTIONARIES))) == len(DICTIONARIES)


def room():
    return tuple(
        look_at(n, c, [0, 0, 0], f=1000, size=SIZE, dist=(0, 0, 0, 0, 0))
        for n, c in (("near", [-900.0, -900, 900]), ("side", [900.0, -900, 900]), ("far", [0.0, 9000, 900]))
    )


def test_how_a_camera_should_see_the_board_on_the_floor_is_told():
    cameras, rng = room(), np.random.default_rng(0)
    flat = np.diag([1.0, -1, -1])
    views = {c.name: see(c, BOARD, flat, np.array([-120.0, 90, 0]), rng, 0.1) for c in cameras[:2]}
    corners = board_in_world(cameras[:2], BOARD, [views])
    assert corners is not None
    np.testing.assert_allclose(corners, BOARD.points @ flat + [-120.0, 90, 0], atol=5)
    assert "at a slant of 84 degrees, and 15 pixels are needed" in expected_view(cameras[2], BOARD, corners)
    away = look_at("away", [0, -2000.0, 900], [0, -4000, 900], size=SIZE)
    assert "behind it" in expected_view(away, BOARD, corners)
    beside = look_at("beside", [0, -2000.0, 900], [2500, 0, 900], size=SIZE)
    assert "outside its picture" in expected_view(beside, BOARD, corners)
    assert "is something in the way" in expected_view(cameras[0], BOARD, corners)


def test_floor_says_and_check_draws_where_the_origin_is():
    cameras, rng = room()[:2], np.random.default_rng(0)
    views = {c.name: see(c, BOARD, np.diag([1.0, -1, -1]), np.array([-120.0, 90, 0]), rng, 0.1) for c in cameras}
    floor = floor_from_board(cameras, BOARD, views)
    assert "marker 0" in floor.origin and "x along its 7 squares" in floor.origin and "z up" in floor.origin
    assert angle_degrees(floor.cameras[0].R, cameras[0].R) < 1
    drawn = picture(check_board(floor.cameras, BOARD, [views]), floor.cameras)
    # Red, green and blue, in the map and in both cameras' pictures.
    for part in (drawn[:640, :640], drawn[:320, 640:960], drawn[:320, 960:1280]):
        for colour in ((40, 40, 220), (40, 160, 40)):
            assert (np.abs(part.astype(int) - colour).max(-1) < 8).sum() > 10


def test_what_cameras_saw_of_a_person_is_told():
    cameras = room()[:2]
    xy = np.zeros((2, 10, 17, 2))
    xy[0] = [400, 200] + np.linspace(0, 1, 17)[:, None] * [10, 90]
    xy[1] = [400, 300] + np.linspace(0, 1, 17)[:, None] * [10, 400]
    score = np.full((2, 10, 17), 0.8)
    score[0, 5:] = 0.1
    said = person_seen(cameras, xy, score)
    assert "near: a person in 5 of 10 moments, 90 pixels tall (small: come nearer" in said
    assert "cut off by the edge" in said
    score[1] = 0.2
    assert "side: nobody in 10 moments, the surest joint 0.20" in person_seen(cameras, xy, score)
