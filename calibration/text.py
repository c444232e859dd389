"""Text from strangers: its limits first, then its parser, and nothing but ValueError for what is wrong with it."""

import json
import re
import reprlib
import tomllib
from pathlib import Path
from typing import Any, Final

from calibration.writing import special

MOST_BYTES: Final = 1_000_000
"""Of a file. A calibration of a hundred cameras has a tenth of it."""
MOST_VALUES: Final = 100_000
"""Of lists, in a file."""
DEEPEST: Final = 16
"""Lists and tables inside each other, and parts of a key."""
LONGEST: Final = 400
"""Characters of a number or a bare key."""

_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' r"'''.*?'''|" r'"(?:\\.|[^"\\\n])*+"|' r"'[^'\n]*+'|#[^\n]*+",
    re.DOTALL,
)
_KEY = re.compile(rf"(?<![\w\-])(?:[\w\-]++[ \t]*+\.[ \t]*+){{{DEEPEST},}}[\w\-]")
_WORD = re.compile(rf"[\w.+\-]{{{LONGEST + 1},}}")


def read(path: Path) -> str:
    """The text of a regular file of at most ``MOST_BYTES``, UTF-8.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is something else, larger, or no UTF-8.
    """
    if kind := special(path):  # before it is opened: a FIFO would never answer
        raise ValueError(f"it is {kind}, not a file")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text: byte {error.start} is {data[error.start]:#04x}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """TOML of bounded depth, keys and numbers.

    Raises:
        ValueError: for what is none, or beyond the limits.
    """
    # Python's parser takes minutes for a key of 100,000 parts, and recurses into lists.
    check_nesting(_QUOTED.sub(lambda m: "" if m[0].startswith("#") else "q", text))
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_json(text: str | bytes) -> Any:
    """JSON of bounded depth and numbers.

    Raises:
        ValueError: for what is none, or beyond the limits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_nesting(text: str) -> None:
    """Check text without its strings and comments against the limits.

    Raises:
        ValueError: both values in the message.
    """
    if (count := text.count(",")) > MOST_VALUES:
        raise ValueError(f"it holds {count:,} values; at most {MOST_VALUES:,} are read")
    if long := _WORD.search(text):
        raise ValueError(f"it holds a word of {len(long[0]):,} characters ({shown(long[0])}); at most {LONGEST}")
    if key := _KEY.search(text):
        raise ValueError(f"it holds a key of {key[0].count('.') + 1:,} parts; at most {DEEPEST}")
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth = max(depth + (1 if bracket[0] in "[{" else -1), 0)
        if depth > DEEPEST:
            raise ValueError(f"lists lie deeper inside each other than {DEEPEST}")


def shown(value: object) -> str:
    """A value from a file for a message: short, on one line, control characters escaped."""
    return _SHORT.repr(value)


def one_line(message: str, most: int = 400) -> str:
    """A message with pieces of a file in it, on one line and no longer than ``most``, control characters escaped."""
    safe = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    return safe if len(safe) <= most else f"{safe[: most // 2]} ... {safe[-most // 2 + 5 :]}"


_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
