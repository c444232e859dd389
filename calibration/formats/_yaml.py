"""The part of YAML that OpenCV, ROS and EasyMocap write, read without OpenCV.

OpenCV's own parser dies of lists inside lists, and takes the square of their length to read them.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from calibration import text
from calibration.errors import CalibrationError
from calibration.text import shown

_KEY = re.compile(
    r"""("(?:\\.|[^"\\])*+"|'[^']*+'|[^\s\-\[\]{},"'&*!|>%@`#?:](?:[^:]|:(?=\S))*+)[ \t]*+:(?:[ \t]++|$)"""
)
_TAG = re.compile(r"!\S*+[ \t]*+")
_TOKEN = re.compile(r"""[ \t\n]*+("(?:\\.|[^"\\])*+"|'[^']*+'|[\[\]{},]|:(?=[\s\[{"']|$)|[^\[\]{},\s"':]++:?+)""")
_COMMENT = re.compile(r"""("(?:\\.|[^"\\])*+"|'[^']*+')|(?:^|[ \t])#.*""")
_NUMBER = re.compile(r"[+-]?(?:\d++\.?+\d*+|\.\d++)(?:[eE][+-]?\d++)?+")
_WORDS = {
    ".inf": np.inf, "+.inf": np.inf, "-.inf": -np.inf, ".nan": np.nan, "true": 1.0, "false": 0.0, "~": None,
    "null": None,
}  # fmt: skip


def read_yaml(path: Path) -> dict[str, Any]:
    """Top-level keys with numbers, text, lists or arrays; nested maps with ``data`` (as ROS writes) become arrays.

    Raises:
        CalibrationError: with the line where it is not what is read here.
    """
    try:
        return parse_yaml(text.read(path))
    except ValueError as error:
        raise CalibrationError(f"{path}: cannot be read as YAML: {error}") from error


def parse_yaml(words: str) -> dict[str, Any]:
    """As ``read_yaml``, of text.

    Raises:
        ValueError: with the line where it is not what is read here.
    """
    lines = []
    for number, line in enumerate(words.splitlines(), 1):
        line = _COMMENT.sub(lambda quoted: quoted[1] or "", line).rstrip()
        if line.startswith("---") and lines:
            break  # a second document, as of ROS, which prints one a message
        if line.lstrip() and not line.startswith(("%", "---", "...")):
            lines.append((len(line) - len(line.lstrip(" ")), line.strip(), number))
    if not lines:
        return {}
    reader = _Reader(lines)
    value = reader.block(lines[0][0], 0)
    if not isinstance(value, dict) or reader.at < len(lines):
        raise reader.wrong("no key where one is expected")
    return value


class _Reader:
    """Goes through the lines (indent, text, number) once."""

    def __init__(self, lines: list[tuple[int, str, int]]) -> None:
        self.lines, self.at, self.values = lines, 0, 0

    def wrong(self, what: str) -> ValueError:
        """An error at this line."""
        return ValueError(f"line {self.lines[min(self.at, len(self.lines) - 1)][2]}: {what}")

    def block(self, indent: int, depth: int) -> Any:
        """The map or list whose lines begin at this indent."""
        if depth > text.DEEPEST:
            raise self.wrong(f"nested deeper than {text.DEEPEST}")
        if self.lines[self.at][1].startswith("-") and not _NUMBER.match(self.lines[self.at][1]):
            return self._items(indent, depth)
        found: dict[str, Any] = {}
        while self.at < len(self.lines) and self.lines[self.at][0] == indent:
            line = self.lines[self.at][1]
            if (key := _KEY.match(line)) is None:
                raise self.wrong(f"no key where one is expected: {shown(line)}")
            name = _unquoted(key[1])
            if name in found:
                raise self.wrong(f"{shown(name)} is there twice")
            found[name] = self._value(line[key.end() :], indent, depth)
        if self.at < len(self.lines) and self.lines[self.at][0] > indent:
            raise self.wrong("moved to the right without a reason")
        return as_array(found)

    def _items(self, indent: int, depth: int) -> list[Any]:
        found = []
        while self.at < len(self.lines) and self.lines[self.at][0] == indent:
            line = self.lines[self.at][1]
            if not (line == "-" or line.startswith("- ")):
                break
            rest = line[1:].lstrip()
            if _KEY.match(rest) or rest == "-" or rest.startswith("- "):
                # What follows the dash is the first line of a block of its own.
                inner = indent + len(line) - len(rest)
                self.lines[self.at] = (inner, rest, self.lines[self.at][2])
                found.append(self.block(inner, depth + 1))
            else:
                found.append(self._value(rest, indent, depth, of_key=False))
            self._count()
        return found

    def _value(self, rest: str, indent: int, depth: int, of_key: bool = True) -> Any:
        """What stands behind a key or a dash, and on the lines that belong to it."""
        tag = _TAG.match(rest)
        rest = rest[tag.end() :] if tag else rest
        if rest[:1] in ("[", "{"):
            return self._flow(rest, depth)
        self.at += 1
        if rest and rest[0] in "|>&*":
            raise self.wrong(f"{shown(rest)} is YAML that is not read here")
        if rest:
            if rest[0] in "\"'" and not (len(rest) > 1 and rest[-1] == rest[0]):
                raise self.wrong(f"no end of {shown(rest)}")
            return scalar(rest)
        if self.at < len(self.lines):
            inner, line, _ = self.lines[self.at]
            if inner > indent or (of_key and inner == indent and (line == "-" or line.startswith("- "))):
                return self.block(inner, depth + 1)
        return None

    def _flow(self, rest: str, depth: int) -> Any:
        """A list or map in brackets, over as many lines as it takes; without recursion."""
        open_: list[tuple[Any, str | None]] = []
        position = 0
        value: Any = None
        key: str | None = None
        waiting = False  # a value that no comma has ended yet
        while True:
            token = _TOKEN.match(rest, position)
            if token is None:
                if rest[position:].strip():
                    raise self.wrong(f"cannot be understood: {shown(rest[position:].strip())}")
                self.at += 1
                if self.at == len(self.lines):
                    raise self.wrong("no end of a list")
                rest, position = self.lines[self.at][1], 0
                continue
            position, word = token.end(), token[1]
            if word in ("[", "{"):
                if waiting or len(open_) + depth >= text.DEEPEST:
                    raise self.wrong("a comma is missing" if waiting else f"nested deeper than {text.DEEPEST}")
                open_.append(([] if word == "[" else {}, key))
                key = None
            elif word in ("]", "}", ","):
                inside = open_[-1][0]
                if word != "," and isinstance(inside, list) != (word == "]"):
                    raise self.wrong(f"{word!r} ends nothing")
                if waiting or key is not None:
                    self._keep(inside, key, value)
                    waiting, key, value = False, None, None
                if word != ",":
                    _, key = open_.pop()
                    value, waiting = as_array(inside) if isinstance(inside, dict) else inside, True
                    if not open_:
                        break
            elif isinstance(open_[-1][0], dict) and key is None:
                key = _unquoted(word.removesuffix(":"))
                if not word.endswith(":"):
                    colon = _TOKEN.match(rest, position)
                    if colon is None or colon[1] != ":":
                        raise self.wrong(f"no value of {shown(key)}")
                    position = colon.end()
            elif waiting or word.endswith(":"):
                raise self.wrong(f"a comma is missing before {shown(word)}")
            else:
                value, waiting = scalar(word), True
        if rest[position:].strip():
            raise self.wrong(f"cannot be understood: {shown(rest[position:].strip())}")
        self.at += 1
        return value

    def _keep(self, inside: Any, key: str | None, value: Any) -> None:
        self._count()
        if isinstance(inside, list):
            inside.append(value)
        elif key is None or key in inside:
            raise self.wrong("a key is missing" if key is None else f"{shown(key)} is there twice")
        else:
            inside[key] = value

    def _count(self) -> None:
        self.values += 1
        if self.values > text.MOST_VALUES:
            raise self.wrong(f"more than {text.MOST_VALUES:,} values")


def as_array(found: dict[str, Any]) -> Any:
    """A map of rows, cols and data as the array it stands for; any other as it is."""
    data = found.get("data")
    if not isinstance(data, list):
        return found
    if not all(isinstance(v, float) for v in data):
        raise ValueError(f"data holds {shown(next(v for v in data if not isinstance(v, float)))}, expected numbers")
    rows, cols = found.get("rows"), found.get("cols")
    numbers = np.array(data)
    if isinstance(rows, float) and isinstance(cols, float) and rows.is_integer() and cols.is_integer() and rows >= 0:
        return numbers.reshape(int(rows), int(cols)) if rows * cols == numbers.size else numbers
    return numbers


def _unquoted(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] == '"':
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] == "'" else word.strip()


def scalar(word: str) -> Any:
    """A word as the number, text, truth or nothing that it stands for."""
    if word[0] in "\"'":
        return _unquoted(word)
    if _NUMBER.fullmatch(word):
        return float(word)
    return _WORDS.get(word.lower(), word)
