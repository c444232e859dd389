"""Weights files and their cards: what a file is, where it came from, and whether it is still the same file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from calibration import text
from calibration.writing import special
from engines.types import EngineError

_MOST: Final = 1e15
WEIGHTS: Final = Path(__file__).parent / "weights"
"""Folder of the weights that are shipped."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is known about a weights file: ``X.toml`` beside ``X.onnx`` or ``X.task``."""

    path: Path
    """The weights file."""
    source: str
    """Where it came from."""
    licence: str
    """Under which terms."""
    sha256: str
    """Of the weights file, 64 hexadecimal digits."""
    joints: str
    """Name of its joint set, as in engines.skeleton."""
    input: str
    """What it wants: type, layout, size, range."""
    values: Mapping[str, Any]
    """The table ``[values]``: numbers that belong to these weights, such as their normalisation or their accuracy."""


def digest(path: Path) -> str:
    """Sha256 of a file.

    Raises:
        EngineError: if the file is missing or cannot be read.
    """
    try:
        if kind := special(path):
            raise EngineError(f"weights {path} cannot be read: it is {kind}; {_restore(path)}")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EngineError(f"weights {path} cannot be read ({error.strerror}); {_restore(path)}") from error


def load_card(path: Path) -> Card:
    """Read the card of a weights file, without looking at the file itself.

    Raises:
        EngineError: if the card is missing, is not TOML, lacks a key, or holds a value that is no plain one.
    """
    path = Path(path)
    card = path.with_suffix(".toml")
    try:
        table = text.parse_toml(text.read(card))
    except OSError as error:
        lost, what = (card, "model card") if path.exists() else (path, "weights")
        raise EngineError(f"{what} {lost} cannot be read ({error.strerror}); {_restore(lost)}") from error
    except ValueError as error:
        raise EngineError(f"model card {card} is not valid TOML ({error}); {_restore(card)}") from error
    values = table.pop("values", {})
    keys = ("source", "licence", "sha256", "joints", "input")
    wrong = [key for key in keys if not isinstance(table.get(key), str)]
    if wrong or not isinstance(values, dict):
        raise EngineError(f"model card {card} lacks {', '.join(wrong) or 'a table [values]'}; {_restore(card)}")
    if bad := [key for key, value in values.items() if not _plain(value)]:
        raise EngineError(
            f"model card {card}: {text.shown(bad[0])} in [values] is {text.shown(values[bad[0]])}, expected text, a "
            f"finite number or a list of them; {_restore(card)}"
        )
    return Card(path, *(table[key] for key in keys), values=MappingProxyType(values))


def verify(path: Path) -> Card:
    """Read the card of a weights file and check that the file is the one it describes.

    Raises:
        EngineError: if the card or the file is missing, or the file's sha256 is not the card's.
    """
    card = load_card(path)
    found = digest(card.path)
    if found != card.sha256.lower():
        raise EngineError(
            f"weights {path} do not match their card (sha256 {found[:12]}..., card {card.sha256[:12]}...): "
            f"the file is damaged or was replaced; {_restore(card.path)}"
        )
    return card


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(v, list) and _plain(v) for v in value)
    return isinstance(value, str) or (isinstance(value, int | float) and abs(value) < _MOST)


def number(card: Card, key: str, low: float, high: float) -> float:
    """A number of a card's values between bounds, both of them allowed.

    Raises:
        EngineError: with the value and the bounds.
    """
    value = card.values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise EngineError(
            f"model card of {card.path}: {key} in [values] is {text.shown(value)}, expected {low:g} to {high:g}"
        )
    return value


def _restore(path: Path) -> str:
    if path.resolve().parent == WEIGHTS.resolve():
        return f"restore it with: git checkout -- engines/weights/{path.name}"
    return "give another file, or copy it again with its card (.toml) beside it"
