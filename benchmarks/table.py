"""Markdown tables, and the JSON files of the benchmarks."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from calibration.writing import write_text


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    return "\n".join([row(*heads), "|" + "---|" * len(heads), *(row(*cells) for cells in rows)])


def ratio(ours: float | None, theirs: float | None, digits: int = 2) -> str:
    """Ours over theirs, or a dash where one of them is missing."""
    return "-" if not theirs or ours is None else f"{ours / theirs:.{digits}f}"


def said(met: bool) -> str:
    """Whether a goal is met, as the tables say it."""
    return "met" if met else "MISSED"


def write_json(path: Path, data: Any) -> None:
    """Write what was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(data, indent=1) + "\n")
