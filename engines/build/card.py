"""Model cards, and putting a built file in the place of the old one."""

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

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
    path.with_suffix(".toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def place(built: Path, out: Path) -> None:
    """Copy a weights file and its card to ``out``, whole or not at all: the old ones stay good until then.

    Raises:
        UserError: if they cannot be written.
    """
    pairs = [(built.with_suffix(s), out.with_suffix(s)) for s in (".onnx", ".toml")]
    parts = [to.with_name(to.name + ".part") for _, to in pairs]
    old = out.with_name(out.name + ".old.part")
    try:
        for (source, _), part in zip(pairs, parts, strict=True):
            shutil.copyfile(source, part)
        if out.exists():
            shutil.copyfile(out, old)
        os.replace(parts[0], out)
        try:
            os.replace(parts[1], pairs[1][1])
        except OSError:
            # A card must never describe another file: the old weights come back, or none are there as before.
            os.replace(old, out) if old.exists() else out.unlink()
            raise
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); what was there is unchanged") from error
    finally:
        for left in (*parts, old):
            if left.is_file():
                left.unlink()
