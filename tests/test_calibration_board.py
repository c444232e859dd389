import shutil
import struct
import subprocess
from dataclasses import replace

import cv2
import numpy as np
import pytest

from calibration.__main__ import main
from calibration.errors import CalibrationError
from calibration.solving.board import Board
from calibration.solving.find import find_board
from calibration.solving.print_board import PIXELS_PER_MM, back_of, draw, lay_out, write_pdf, write_png

CHARUCO = Board("charuco", (7, 5), 35, 26)
CHESS = Board("chessboard", (8, 5), 30)
BOARDS = [CHARUCO, CHESS, Board("charuco", (6, 4), 40, 30, "DICT_4X4_50", legacy=True), Board("chessboard", (6, 7), 25)]


def expected_xy(board, sheet, per_mm):
    """Pixels of the inner corners on a rendering of the sheet (pixel centres at whole numbers)."""
    origin = (
        sheet.rectangles[:, :2].min(0)
        if board.squares != (6, 4)
        else [(sheet.page[0] - 240) / 2, (sheet.page[1] - 176) / 2]
    )
    return (board.points[:, :2] + origin) * per_mm - 0.5


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: f"{b.kind}{b.squares}")
def test_a_drawn_board_is_found_to_a_fraction_of_a_pixel(board):
    sheet = lay_out(board)
    image = cv2.resize(draw(sheet), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    view = find_board(board, image)
    assert view is not None and len(view.ids) == len(board.points)
    error = view.xy - expected_xy(board, sheet, PIXELS_PER_MM / 2)[view.ids]
    assert np.abs(error).max() < 0.3
    blurred = find_board(board, cv2.GaussianBlur(image, (0, 0), 2))
    assert blurred is not None and blurred.sharpness > 2 * view.sharpness


@pytest.mark.parametrize("turn", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE])
@pytest.mark.parametrize("board", [CHARUCO, CHESS], ids=["charuco", "chessboard"])
def test_a_turned_board_keeps_its_corner_numbers(board, turn):
    image = cv2.resize(draw(lay_out(board)), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    straight, turned = find_board(board, image), find_board(board, cv2.rotate(image, turn))
    assert straight is not None and turned is not None
    h, w = image.shape
    x, y = straight.xy.T
    there = {
        cv2.ROTATE_90_CLOCKWISE: (h - 1 - y, x),
        cv2.ROTATE_180: (w - 1 - x, h - 1 - y),
        cv2.ROTATE_90_COUNTERCLOCKWISE: (y, w - 1 - x),
    }[turn]
    np.testing.assert_allclose(
        turned.xy[np.argsort(turned.ids)], np.stack(there, -1)[np.argsort(straight.ids)], atol=0.3
    )


def test_no_board_no_view():
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    assert find_board(CHARUCO, noise) is None and find_board(CHESS, noise) is None


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="pdftoppm (apt poppler-utils) is not installed")
@pytest.mark.parametrize("board", BOARDS[:2], ids=["charuco", "chessboard"])
def test_the_pdf_prints_in_exact_size(tmp_path, board):
    sheet = lay_out(board)
    write_pdf(tmp_path / "b.pdf", sheet)
    command = ["pdftoppm", "-r", "254", "-gray", "-png", "-singlefile", str(tmp_path / "b.pdf"), str(tmp_path / "b")]
    subprocess.run(command, check=True, timeout=60)
    page = cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_GRAYSCALE)
    assert page is not None and abs(page.shape[1] / 10 - sheet.page[0]) <= 0.15
    view = find_board(board, page)
    assert view is not None and len(view.ids) == len(board.points)
    a, b = np.argmin(view.ids), np.argmax(view.ids)
    true = np.linalg.norm(np.ptp(board.points[:, :2], axis=0))
    assert np.linalg.norm(view.xy[a] - view.xy[b]) / 10 == pytest.approx(true, abs=0.05)
    np.testing.assert_allclose(view.xy, expected_xy(board, sheet, 10)[view.ids], atol=1.0)
    x, y, length = (round(10 * v) for v in sheet.ruler)
    dark = np.flatnonzero(page[y + 1, x - 20 : x + length + 20] < 128)
    assert abs(np.ptp(dark) + 1 - 1000) <= 1


def test_the_back_has_every_corner_behind_itself():
    board = replace(CHARUCO, double_sided=True)
    sheet = lay_out(board)
    image = cv2.resize(draw(back_of(sheet)), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    view = find_board(board, image)
    assert view is not None and len(view.ids) == len(board.points)
    front = expected_xy(board, sheet, PIXELS_PER_MM / 2)[view.ids]
    np.testing.assert_allclose(view.xy, np.column_stack([image.shape[1] - 1 - front[:, 0], front[:, 1]]), atol=0.3)
    assert find_board(CHARUCO, image) is None


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="pdftoppm (apt poppler-utils) is not installed")
def test_a_double_sided_board_is_printed_on_two_pages(tmp_path, capsys):
    words = ["board", "--squares", "5x7", "--square", "30", "--marker", "22", "--double-sided"]
    assert main([*words, "--out", str(tmp_path / "b.pdf")]) == 0
    assert "its second page is the back" in capsys.readouterr().out
    command = ["pdftoppm", "-r", "127", "-gray", "-png", str(tmp_path / "b.pdf"), str(tmp_path / "page")]
    subprocess.run(command, check=True, timeout=60)
    board = Board("charuco", (5, 7), 30, 22, double_sided=True)
    front, back = (find_board(board, cv2.imread(str(tmp_path / f"page-{k}.png"))) for k in (1, 2))
    assert front is not None and back is not None
    width = cv2.imread(str(tmp_path / "page-1.png")).shape[1]
    there = np.column_stack([width - 1 - front.xy[:, 0], front.xy[:, 1]])
    np.testing.assert_allclose(
        back.xy[np.argsort(back.ids)], there[np.argsort(front.ids)], atol=1.5
    )  # the paper is no whole number of pixels wide
    picture = find_board(board, cv2.imread(str(tmp_path / "b-back.png")))
    assert picture is not None and len(picture.ids) == len(board.points)


def test_png_states_its_resolution(tmp_path):
    write_png(lay_out(CHARUCO), tmp_path / "b.png")
    data = (tmp_path / "b.png").read_bytes()
    at = data.index(b"pHYs")
    assert struct.unpack(">IIB", data[at + 4 : at + 13]) == (10000, 10000, 1)
    assert cv2.imread(str(tmp_path / "b.png")) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chessboard", (2, 5), 30), "at least 3x3"),
        (("chessboard", (5, 5), 0), "squares of 0 mm"),
        (("charuco", (5, 5), 30, 30), "do not fit"),
        (("charuco", (5, 5), 30, 20, "DICT_X"), "unknown dictionary 'DICT_X'; there are DICT_4X4"),
        (("charuco", (20, 20), 30, 20, "DICT_4X4_50"), "holds 50 markers, the board needs 200"),
    ],
)
def test_impossible_boards(arguments, message):
    with pytest.raises(CalibrationError, match=message):
        Board(*arguments)


def test_paper():
    assert lay_out(CHARUCO).page == (297, 210)
    with pytest.raises(CalibrationError, match="does not fit on A4"):
        lay_out(Board("chessboard", (9, 6), 60), "A4")
    with pytest.raises(CalibrationError, match="unknown paper 'B5'"):
        lay_out(CHARUCO, "B5")


@pytest.mark.parametrize(("square", "length"), [(15, 75), (30, 100)])
def test_the_sheet_says_how_long_its_line_is(square, length):
    sheet = lay_out(Board("charuco", (5, 4), square, 0.7 * square))
    assert sheet.ruler[2] == length and f"The line is {length} mm long." in sheet.caption[-1]
