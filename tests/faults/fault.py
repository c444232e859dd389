"""A row of the table of faults: what goes wrong, and what must come of it."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., None])
Of = Callable[[Mapping[str, Any]], str]
"""Tells something of a test's parameters."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, how it is injected, and what must come of it."""

    id: str
    """What goes wrong."""
    inject: Callable[..., Any]
    """Makes it; what it takes is its module's affair."""
    code: int
    """Exit code of the program, one of ``engines.argument_types``."""
    words: str
    """What is said of it; empty where nothing is to be said."""
    intact: str
    """What must be left."""

    def __str__(self) -> str:
        return self.id.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; of a test with parameters that it does not tell apart, one for several cases."""

    fault: str
    code: int
    words: str
    intact: str
    test: str
    process: bool
    """Whether the program is run for it, from its command line."""


@dataclass(frozen=True, slots=True)
class _Told:
    what: str | Of
    code: int | Callable[[Mapping[str, Any]], int]
    words: str | Of
    intact: str
    process: bool


def row(
    what: str | Of, code: int | Callable[[Mapping[str, Any]], int] = 0, words: str | Of = "", intact: str = "",
    *, process: bool = False,
) -> Callable[[Test], Test]:  # fmt: skip
    """Put a test into the table, a line for each fault that it injects.

    Args:
        what: what goes wrong, with the test's parameters in braces, or what tells it. A parameter that is a ``Fault``
            brings the rest.
        code: exit code of the program, or what tells it.
        words: what is said, or what tells it.
        intact: what must be left.
        process: whether the program is run for it.
    """

    def mark(test: Test) -> Test:
        test.__dict__["told"] = _Told(what, code, words, intact, process)
        return test

    return mark


def told(test: Callable[..., None]) -> bool:
    """Whether a test is in the table."""
    return "told" in test.__dict__


def cases(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """The parameters of each case of a test, as pytest will give them to it."""
    marks = [mark for mark in test.__dict__.get("pytestmark", ()) if mark.name == "parametrize"]
    columns = []
    for mark in reversed(marks):
        names = [name.strip() for name in mark.args[0].split(",")] if isinstance(mark.args[0], str) else mark.args[0]
        values = list(mark.args[1])
        columns.append([dict(zip(names, value if len(names) > 1 else [value], strict=True)) for value in values])
    for chosen in itertools.product(*columns):
        yield {name: value for one in chosen for name, value in one.items()}


def rows(test: Callable[..., None]) -> dict[Row, int]:
    """The lines of a test, and how many cases each of them has."""
    said: _Told = test.__dict__["told"]
    found: dict[Row, int] = {}
    for values in cases(test):
        fault = next((value for value in values.values() if isinstance(value, Fault)), None)
        names = {name: value.id if isinstance(value, Fault) else value for name, value in values.items()}
        one = Row(
            said.what(values) if callable(said.what) else said.what.format(**names),
            fault.code if fault else said.code(values) if callable(said.code) else said.code,
            fault.words if fault else said.words(values) if callable(said.words) else said.words,
            said.intact or (fault.intact if fault else ""),
            test.__name__,
            said.process,
        )
        found[one] = found.get(one, 0) + 1
    return found
