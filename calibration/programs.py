"""The commands of an installed package begin here: ``stream`` is a common name, and another one may stand before ours.

Standard library only. The programs are those of ``stream.app.program``.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def stream() -> int:
    """``hypothesis-stream``: run, or one of the verbs."""
    return _run("hypothesis-stream", "main")


def calibrate(arguments: Sequence[str] | None = None) -> int:
    """``hypothesis-calibrate`` and ``python -m calibration``: one of the steps of calibration."""
    return _run("hypothesis-calibrate", "calibrate", arguments)


def _run(program: str, function: str, *given: Any) -> int:
    if other := in_the_way("stream", Path(__file__).resolve().parents[1]):
        print(f"{program}: {other}", file=sys.stderr)
        return 2
    return getattr(import_module("stream.app.program"), function)(*given)


def in_the_way(name: str, folder: Path) -> str | None:
    """One line that names another package or module which is imported instead of ours; None: there is none.

    Args:
        name: of a package.
        folder: where ours lies.
    """
    spec = find_spec(name)
    if spec is None:
        return None
    places = [Path(place).resolve() for place in (spec.submodule_search_locations or [spec.origin or ""])]
    if folder / name in places:
        return None
    return f"{places[0]} stands before ours of that name ({folder / name}); start from another folder, or rename it"
