"""A board as a PDF to print and a PNG to show.

The PDF is written by hand: black rectangles in a coordinate system of millimetres are all a board is, so every edge
is a vector at its exact place, and no library stands between the number and the paper.
"""

import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.solving.board import Board, charuco_board
from calibration.writing import write_bytes

PAPERS = {"A4": (210, 297), "A3": (297, 420), "A2": (420, 594), "A1": (594, 841), "A0": (841, 1189)}
"""Paper sizes, mm, upright."""
PIXELS_PER_MM = 10
"""Resolution of the PNG: 254 dpi, so that tenths of millimetres are whole pixels."""
_MARGIN = 8.0
_CAPTION = 16.0
_POINTS_PER_MM = 72 / 25.4


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Where everything lies on the paper; mm from the top left corner."""

    page: tuple[float, float]
    """Width and height of the paper, mm."""
    rectangles: NDArray[np.float64]
    """(N, 4) x, y, width, height of the black rectangles, mm."""
    ruler: tuple[float, float, float]
    """x, y and length of the control line, mm."""
    caption: tuple[str, ...]
    """Lines of text."""


def lay_out(board: Board, paper: str = "auto") -> Sheet:
    """Place the board in the middle of the paper.

    Raises:
        CalibrationError: if it does not fit or the paper is unknown.
    """
    width, height = (n * board.square_mm for n in board.squares)
    if paper != "auto" and paper not in PAPERS:
        raise CalibrationError(f"unknown paper {paper!r}; there are auto, {', '.join(PAPERS)}")
    shapes = PAPERS.values() if paper == "auto" else [PAPERS[paper]]
    pages = [page for w, h in shapes for page in ((w, h), (h, w))]
    need = (width + 2 * _MARGIN, height + 2 * _MARGIN + _CAPTION)
    page = next((page for page in pages if page[0] >= need[0] and page[1] >= need[1]), None)
    if page is None:
        raise CalibrationError(
            f"the board is {width:g} x {height:g} mm and does not fit on {paper if paper != 'auto' else 'A0'} "
            f"with its margins; choose smaller squares or a larger --paper"
        )
    x0, y0 = (page[0] - width) / 2, (page[1] - height - _CAPTION) / 2
    rectangles = np.array(_squares(board) + _markers(board)) + [x0, y0, 0, 0]
    ruler = (x0, y0 + height + 4, min(100.0, width))
    caption = (
        board.describe(),
        f"{width:g} x {height:g} mm. Print at 100 % (not 'fit to page'), glue it on something flat,",
        f"measure a square and give what you measured. The line is {ruler[2]:g} mm long.",
    )
    return Sheet((float(page[0]), float(page[1])), rectangles, ruler, caption)


def back_of(sheet: Sheet) -> Sheet:
    """The back of a double-sided board: its mirror image, so that every corner lies behind itself."""
    rectangles = sheet.rectangles.copy()
    rectangles[:, 0] = sheet.page[0] - sheet.rectangles[:, 0] - sheet.rectangles[:, 2]
    caption = (
        "The back of it: the mirror image. Print both pages on one sheet, turned over about its upright edge,",
        "or glue the sheets back to back, corner behind corner (hold them against the light).",
    )
    return replace(sheet, rectangles=rectangles, caption=caption)


def _squares(board: Board) -> list[list[float]]:
    across, down = board.squares
    # OpenCV's ChArUco boards start black, the old ones with an even number of rows white.
    first = 1 if board.kind == "charuco" and board.legacy and down % 2 == 0 else 0
    s = board.square_mm
    return [[i * s, j * s, s, s] for j in range(down) for i in range(across) if (i + j) % 2 == first]


def _markers(board: Board) -> list[list[float]]:
    if board.kind != "charuco":
        return []
    made = charuco_board(board)
    out = []
    for marker, corners in zip(made.getIds().ravel(), made.getObjPoints(), strict=True):
        modules = made.getDictionary().markerSize + 2
        bits = made.getDictionary().generateImageMarker(int(marker), modules)
        x, y, side = *corners[0][:2], board.marker_mm / modules
        for row in range(modules):
            # Runs of black modules become one rectangle: no hairlines between them on any printer.
            edges = np.flatnonzero(np.diff(np.r_[0, bits[row] == 0, 0]))
            out += [[x + a * side, y + row * side, (b - a) * side, side] for a, b in edges.reshape(-1, 2)]
    return out


def write_pdf(path: Path, *sheets: Sheet) -> None:
    """Write sheets as the pages of a PDF 1.4 with vector graphics in exact size."""
    font, first = 3, 4
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (first + 2 * k) for k in range(len(sheets))), len(sheets)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for k, sheet in enumerate(sheets):
        width, height = (v * _POINTS_PER_MM for v in sheet.page)
        stream = _page(sheet)
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.6f} {height:.6f}] /Resources << /Font << /F1 "
            f"{font} 0 R >> >> /Contents {first + 2 * k + 1} 0 R >>".encode(),
            f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode() + stream + b"\nendstream",
        ]
    out, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for i, body in enumerate(objects):
        offsets.append(len(out))
        out += f"{i + 1} 0 obj\n".encode() + body + b"\nendobj\n"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n" + "".join(f"{o:010d} 00000 n \n" for o in offsets)
    out += (
        table.encode() + f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n".encode()
    )
    write_bytes(path, out)


def _page(sheet: Sheet) -> bytes:
    """What is drawn on a page, compressed."""
    height = sheet.page[1] * _POINTS_PER_MM
    scale = f"{_POINTS_PER_MM:.9f}"
    # Millimetres with y down from here on.
    rows = [f"{scale} 0 0 -{scale} 0 {height:.6f} cm", "0 g"]
    rows += [f"{x:.5f} {y:.5f} {w:.5f} {h:.5f} re" for x, y, w, h in sheet.rectangles]
    x, y, length = sheet.ruler
    rows += ["f", f"{x:.5f} {y:.5f} {length:.5f} 0.2 re f", f"{x:.5f} {y - 1:.5f} 0.2 2.2 re f"]
    rows += [f"{x + length - 0.2:.5f} {y - 1:.5f} 0.2 2.2 re f"]
    for i, line in enumerate(sheet.caption):
        safe = line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        rows.append(f"BT /F1 2.8 Tf 1 0 0 -1 {x:.4f} {y + 4 + 3.6 * i:.4f} Tm ({safe}) Tj ET")
    return zlib.compress("\n".join(rows).encode("latin-1", "replace"))


def draw(sheet: Sheet) -> NDArray[np.uint8]:
    """The sheet as a grey image at ``PIXELS_PER_MM``."""
    size = [round(v * PIXELS_PER_MM) for v in sheet.page]
    image = np.full((size[1], size[0]), 255, np.uint8)
    x, y, length = sheet.ruler
    for rx, ry, w, h in [
        *sheet.rectangles,
        (x, y, length, 0.2),
        (x, y - 1, 0.2, 2.2),
        (x + length - 0.2, y - 1, 0.2, 2.2),
    ]:
        a, b = round(rx * PIXELS_PER_MM), round((rx + w) * PIXELS_PER_MM)
        c, d = round(ry * PIXELS_PER_MM), round((ry + h) * PIXELS_PER_MM)
        image[c:d, a:b] = 0
    for i, line in enumerate(sheet.caption):
        at = (round(x * PIXELS_PER_MM), round((y + 4 + 3.6 * i) * PIXELS_PER_MM))
        cv2.putText(image, line, at, cv2.FONT_HERSHEY_SIMPLEX, 0.75, 0, 2, cv2.LINE_AA)
    return image


def write_png(sheet: Sheet, path: Path) -> None:
    """Write the sheet as a PNG that states its resolution (OpenCV leaves the pHYs chunk out)."""
    data = cv2.imencode(".png", draw(sheet))[1].tobytes()
    body = b"pHYs" + struct.pack(">IIB", PIXELS_PER_MM * 1000, PIXELS_PER_MM * 1000, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    # After the signature (8 bytes) and the header chunk (25).
    write_bytes(path, data[:33] + chunk + data[33:])
