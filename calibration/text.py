"""Text from strangers: its limits first, then its parser, and nothing but ValueError for what is wrong with it."""

import codecs
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

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
"""UTF-32's first, as UTF-16's is a part of it."""
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' r"'''.*?'''|" r'"(?:\\.|[^"\\\n])*+"|' r"'[^'\n]*+'|#[^\n]*+",
    re.DOTALL,
)
_KEY = re.compile(rf"(?<![\w\-])(?:[\w\-]++[ \t]*+\.[ \t]*+){{{DEEPEST},}}[\w\-]")
_WORD = re.compile(rf"[\w.+\-]{{{LONGEST + 1},}}")


def read(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a regular file of at most ``most`` bytes: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is something else, larger, or no such text.
    """
    if kind := special(path):  # before it is opened: a FIFO would never answer
        raise ValueError(f"it is {kind}, not a file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return decode(data)


def encoding(data: bytes) -> str:
    """What text that begins so is encoded in: what its byte order mark says, else UTF-8.

    Windows' Notepad and PowerShell save "Unicode", which is UTF-16. Without a mark it is told by the zeros that half
    of its bytes are.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    head = data[: min(len(data) // 2 * 2, 32)]
    for name, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if head and not any(zeros) and all(letters):
            return name
    return "utf-8"


def line_ends(words: str) -> str:
    """The same text with the line ends of this project, whatever system wrote it."""
    return words.replace("\r\n", "\n").replace("\r", "\n")


def decode(data: bytes) -> str:
    """The text, with the line ends of this project.

    Raises:
        ValueError: if it is none.
    """
    name = encoding(data)
    try:
        return line_ends(data.decode(name))
    except UnicodeDecodeError as error:
        if not name.startswith("utf-8"):
            raise ValueError(f"it is no whole text in {name.upper()}") from error
        at = error.start
        raise ValueError(
            f"it is no UTF-8 text: byte {at} is {data[at]:#04x}; if an editor shows it as text, save it there as UTF-8"
        ) from error


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


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sorts the numbers in a name by their value: cam2 before cam10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def quoted_key(name: str) -> str:
    """A name as a key of TOML, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(text: str) -> str:
    """Text as TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def word(text: str) -> str:
    """A flag's value as it is typed: in quotes where a command line would split or change it."""
    return text if re.fullmatch(r"[\w@%+=:,./~^-]+", text) else '"' + re.sub(r'(["$`\\])', r"\\\1", text) + '"'


def shown(value: object) -> str:
    """A value from a file for a message: short, on one line, control characters escaped."""
    return _SHORT.repr(value)


def one_line(message: str, most: int = 400) -> str:
    """A message with pieces of a file in it, on one line and no longer than ``most``, control characters escaped."""
    safe = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    return safe if len(safe) <= most else f"{safe[: most // 2]} ... {safe[-most // 2 + 5 :]}"


_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
