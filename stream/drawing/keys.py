"""The keys of the window, shown over the picture."""

from typing import Final

from calibration.arrays import Image
from stream.drawing import primitives as draw
from stream.drawing.sheet import Sheet, text_scale

KEYS: Final = (
    ("q", "quit"),
    ("Esc", "close this, leave the full screen, or quit"),
    ("space", "pause, go on"),
    ("r", "record on, off"),
    ("e", "mark this moment in the recording"),
    ("n, 0-9, click", "tell of the next person, of that number, of whom you click on"),
    ("c, click", "whose 3D is shown: of which camera, where nothing is fused"),
    ("z", "close up: on the person who is told of, or on everybody"),
    ("m", "mirror"),
    ("arrows, drag", "turn"),
    ("+ -, wheel", "zoom"),
    ("Home", "first view"),
    ("f, F11", "full screen"),
    ("h, ?, F1", "these keys"),
)
"""(keys, what they do), the most needed first."""


def draw_keys(image: Image) -> None:
    """Draw the keys in the middle of a picture, in place."""
    sheet = Sheet(image, text_scale((image.shape[1], image.shape[0])))
    w, h = sheet.size
    pitch = min(27.0, (h - 24) / len(KEYS))
    size = 15 if pitch > 24 else 13
    names = max(sheet.text_size(name, size, 600) for name, _ in KEYS) + 18
    width = min(names + max(sheet.text_size(what, size) for _, what in KEYS) + 36, w - 8)
    height = pitch * len(KEYS) + 16
    left, top = (w - width) / 2, (h - height) / 2
    sheet.blend((left, top, width, height), draw.BACK, 0.9)
    for k, (name, what) in enumerate(KEYS):
        base = top + 8 + pitch * (k + 0.5) + 5
        sheet.text(name, (left + 18, base), draw.TEXT, size, 600)
        sheet.text(sheet.fit_text(what, width - names - 30, size), (left + 18 + names, base), draw.DIM, size)
