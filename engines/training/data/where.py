"""Where recorded people lie on this machine: an argument says it, or one environment variable says it for all commands.

``docs/results.md`` says how each file is obtained or built.
"""

import argparse
import os
from pathlib import Path
from typing import Final

from engines.types import EngineError

VARIABLE: Final = "HYPOTHESIS_STREAM_DATA"
"""Names the folder whose ``data/`` holds ``mocap/`` and ``lspet/``."""


def default(inside: str) -> Path | None:
    """A file or folder below ``data/`` of the folder that the variable names; None where it names none."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) / "data" / inside if folder else None


def add_argument(parser: argparse._ActionsContainer, flag: str, inside: str, text: str) -> None:
    """An argument for a file or folder of data. ``needed`` says where it was not given.

    Args:
        parser: what gets it.
        flag: its name.
        inside: what it is by default, below ``data/``.
        text: what it is, for ``--help``.
    """
    said = f"{text}; default: data/{inside} in the folder that {VARIABLE} names"
    parser.add_argument(flag, type=Path, default=default(inside), metavar="PATH", help=said)


def needed(path: Path | None, flag: str) -> Path:
    """What was given for an argument, or by the variable.

    Raises:
        EngineError: if neither says where the data lies.
    """
    if path is None:
        raise EngineError(
            f"{flag} is needed: give it, or set {VARIABLE}; docs/results.md says where the data comes from"
        )
    return path
