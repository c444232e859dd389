"""A take as one file that any browser shows, without us and without a network: to be sent to somebody."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from stream.web.document import document
from stream.web.film import CHUNK, Film, FilmPictures

MOST: Final = 20_000
"""Moments: eleven minutes at 30 a second. A browser holds all of them at once."""
_PICTURES_S: Final = 0.2


def snapshot(film: Film, *, pictures: bool = True, progress: Callable[[int, int], None] = lambda *_: None) -> str:
    """The page of a film.

    Args:
        film: not loaded yet.
        pictures: whether the cameras' reduced pictures go in, five a second.
        progress: told how many moments of how many are done.

    Returns:
        The document.

    Raises:
        StreamError: if the film is too long for a page.
    """
    film.load(MOST)
    moments = [told for number in range(-(-film.count // CHUNK)) for told in film.chunk(number)]
    shown: list[int] = []
    coded: dict[int, list[Any]] = {}
    with FilmPictures(film) as of:
        last = -1
        for index, told in enumerate(moments):
            if pictures and (last < 0 or told["t"] - moments[last]["t"] >= _PICTURES_S - 1e-3):
                last = index
                coded[index] = [[message[0], base64.b64encode(message[8:]).decode("ascii")] for message in of.of(index)]
            shown.append(last)
            progress(index + 1, len(moments))
    held = {"run": film.header, "moments": moments, "shown": shown, "pictures": coded}
    packed = zlib.compress(json.dumps(held, separators=(",", ":")).encode(), 9)
    return document(base64.b64encode(packed).decode("ascii"))
