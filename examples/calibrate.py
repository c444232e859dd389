"""Calibrate a lens from images of a board: python calibrate.py [FOLDER], of images that it makes itself without one."""

import sys
from pathlib import Path

import cv2
import numpy as np

import stream
from calibration.solving.board import Board, charuco_board
from calibration.solving.find import find_board
from calibration.solving.intrinsics import pick, solve_intrinsics

BOARD = Board("charuco", (7, 5), square_mm=35, marker_mm=26)  # hypothesis-calibrate board prints one
SIZE, FOCAL = (1280, 720), 1000.0


def made_up(count: int) -> list[np.ndarray]:
    """The board as a lens without distortion shows it, each time held otherwise."""
    rng, flat = np.random.default_rng(0), charuco_board(BOARD).generateImage((700, 500))
    K, images = np.array([[FOCAL, 0, 639.5], [0, FOCAL, 359.5], [0, 0, 1]]), []
    corners = np.array([[0, 0, 0], [245, 0, 0], [245, 175, 0], [0, 175, 0]], float) - [122, 87, 0]  # mm
    for _ in range(count):
        turn, place = rng.uniform(-0.6, 0.6, 3), [*rng.uniform(-120, 120, 2), rng.uniform(450, 800)]
        xy = cv2.projectPoints(corners, turn, np.array(place), K, None)[0].reshape(4, 2).astype(np.float32)
        pixels = np.array([[0, 0], [700, 0], [700, 500], [0, 500]], np.float32) - 0.5
        H = cv2.getPerspectiveTransform(pixels, xy)
        images.append(cv2.warpPerspective(flat, H, SIZE, flags=cv2.INTER_AREA, borderValue=190))
    return images


files = sorted(Path(sys.argv[1]).iterdir()) if len(sys.argv) > 1 else []
images = [image for image in (cv2.imread(str(f)) for f in files) if image is not None] if files else made_up(24)
size = (images[0].shape[1], images[0].shape[0])

views = [view for view in (find_board(BOARD, image) for image in images) if view is not None]
found = solve_intrinsics("left", size, BOARD, [views[i] for i in pick(BOARD, views, size)])
print(f"{len(views)} of {len(images)} images show the board: {found.line()}")
stream.save_calibration(stream.Calibration((found.camera,), placed=False), "lens.toml")
print("wrote lens.toml")
