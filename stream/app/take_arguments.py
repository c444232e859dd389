"""What the command lines of the verbs share: which take, which part of it, and whom."""

from pathlib import Path

from engines.argument_types import Parser, finite
from stream.selection import METAVAR, Selection, selection


def add_take(parser: Parser) -> None:
    """``take``: the folder."""
    parser.add_argument("take", type=Path, metavar="DIR", help="the take, or the folder given to --record")


def add_part(parser: Parser) -> None:
    """``select``, ``start`` and ``end``, as ``Reading`` takes them."""
    parser.add_argument("--select", type=selection, metavar=METAVAR, default=Selection(), help="whom (default all)")
    parser.add_argument("--start", type=finite, metavar="SECONDS", help="from here on, after the first moment")
    parser.add_argument("--end", type=finite, metavar="SECONDS", help="up to here, after the first moment")
