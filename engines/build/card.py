"""Model cards, and putting a built file in the place of the old one."""

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from calibration import writing
from calibration.errors import UserError
from engines import cards

Value = bool | int | float | str | list[float]


@dataclass(frozen=True, slots=True)
class Text:
    """What a card says in words; see ``engines.cards.Card``."""

    source: str
    """Where the weights came from."""
    licence: str
    """Under which terms."""
    joints: str
    """Name of the joint set."""
    input: str
    """Type, layout, size, range."""


def int8_of(known: cards.Card) -> Text:
    """Of a file in int8 for the CPU: what it was made of, and how."""
    name = known.path.name
    return Text(
        f"int8 for the CPU of {name}: python -m engines.build --int8 {name}; {known.source}",
        known.licence, known.joints, known.input,
    )  # fmt: skip


def write(path: Path, text: Text, values: Mapping[str, Value]) -> None:
    """Write the card of a weights file beside it.

    Raises:
        UserError: for a figure that is not finite: TOML has none.
    """
    if wrong := [key for key, v in values.items() if isinstance(v, float) and not math.isfinite(v)]:
        raise UserError(f"{', '.join(wrong)} could not be measured on this data; {path.name} is not written")
    words = asdict(text)
    words = {"source": words.pop("source"), "licence": words.pop("licence"), "sha256": cards.digest(path), **words}
    # A string, a number, a list and true and false are the same in TOML as in JSON.
    lines = [f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in words.items()]
    lines += ["", "[values]", *(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in values.items())]
    writing.write_text(path.with_suffix(".toml"), "\n".join(lines) + "\n")


def amend(path: Path, values: Mapping[str, Value]) -> None:
    """Put values into the table ``[values]``, which comes last, of a card; its other lines, with their remarks, stay.

    Raises:
        UserError: if the card is missing or damaged, or a figure is not finite.
    """
    if wrong := [key for key, v in values.items() if isinstance(v, float) and not math.isfinite(v)]:
        raise UserError(f"{', '.join(wrong)} could not be measured on this data; {path.name} is not written")
    cards.load_card(path)
    card = path.with_suffix(".toml")
    old = card.read_text(encoding="utf-8").rstrip().splitlines()
    lines = [line for line in old if line.partition("=")[0].strip() not in values]
    lines += [] if "[values]" in lines else ["", "[values]"]
    lines += [f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in values.items()]
    writing.write_text(card, "\n".join(lines) + "\n")


def place(built: Path, out: Path) -> None:
    """Copy a weights file and its card to ``out``, whole or not at all: the old ones stay good until then.

    Raises:
        UserError: if they cannot be written.
    """
    card = out.with_suffix(".toml")
    for target in (out, card):
        writing.check_target(target)
    try:
        with writing.scratch(out.parent) as folder:
            weights, words, old = folder / "weights", folder / "card", folder / "old"
            shutil.copyfile(built, weights)
            shutil.copyfile(built.with_suffix(".toml"), words)
            if out.exists():
                shutil.copyfile(out, old)
            writing.put(weights, out)
            try:
                writing.put(words, card)
            except OSError:
                # A card must never describe another file: the old weights come back, or none are there as before.
                os.replace(old, out) if old.exists() else out.unlink()
                raise
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); what was there is unchanged") from error
