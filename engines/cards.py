"""Weights files and their cards: what a file is, where it came from, and whether it is still the same file."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engines.types import EngineError

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
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EngineError(f"weights {path} cannot be read ({error.strerror}); {_restore(path)}") from error


def load_card(path: Path) -> Card:
    """Read the card of a weights file, without looking at the file itself.

    Raises:
        EngineError: if the card is missing, is not TOML, or lacks a key.
    """
    path = Path(path)
    card = path.with_suffix(".toml")
    try:
        text = card.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        lost, what = (card, "model card") if path.exists() else (path, "weights")
        raise EngineError(f"{what} {lost} cannot be read ({error.strerror}); {_restore(lost)}") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise EngineError(f"model card {card} is not valid TOML ({error}); {_restore(card)}") from error
    values = table.pop("values", {})
    keys = ("source", "licence", "sha256", "joints", "input")
    wrong = [key for key in keys if not isinstance(table.get(key), str)]
    if wrong or not isinstance(values, dict):
        raise EngineError(f"model card {card} lacks {', '.join(wrong) or 'a table [values]'}; {_restore(card)}")
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


def _restore(path: Path) -> str:
    if path.resolve().parent == WEIGHTS.resolve():
        return f"restore it with: git checkout -- engines/weights/{path.name}"
    return "give another file, or copy it again with its card (.toml) beside it"
