"""What the command lines of all programs share: the parser, types of arguments, and the exit codes."""

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NoReturn

from calibration.addresses import is_address, scrub

DONE: Final = 0
"""Exit code: it went well, also after Ctrl-C asked it to end."""
FAILED: Final = 1
"""Exit code: what was looked at does not pass, or something was lost on the way, such as an output on a full disk."""
MISTAKE: Final = 2
"""Exit code: what the user must mend; one line says what, and nothing was done."""
INTERRUPTED: Final = 130
"""Exit code: left at once on Ctrl-C; 128 + SIGINT, as shells report it."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a flag in one line, like every other mistake, and shows no password in it.

    Args:
        addresses: flags that take addresses of cameras; one that stands anywhere else is refused.
        about: what the line says first, before the mistake.
        settings: those of ``argparse.ArgumentParser``.
    """

    def __init__(self, *, addresses: Iterable[str] = (), about: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.addresses = tuple(addresses)
        self.about = about
        self._given: list[str] = []
        # "-30,12" after a flag is its value, as "-30" is.
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)(,.*)?$")

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """See ``argparse.ArgumentParser``."""
        self._given = list(sys.argv[1:] if args is None else args)
        self._refuse_misplaced()
        return super().parse_known_args(self._given, namespace)

    def error(self, message: str) -> NoReturn:
        """Leave with that line."""
        line = f"{self.prog.removeprefix('python -m ').removesuffix('.py')}: {self.about}{message}"
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in scrub(line, self._given))
        shown = re.sub(r"\S{200,}", lambda word: f"{word[0][:60]}... ({len(word[0])} characters)", shown)
        self.exit(MISTAKE, f"{shown} (--help lists every flag)\n")

    def _refuse_misplaced(self) -> None:
        """Refuse an address where none belongs: as a file's name or an unknown word its password would be shown."""
        takes = [*self.addresses, *(a for action in self._commands() for a in action.addresses)]
        before = ""
        for word in self._given:
            flag, _, value = word.partition("=") if word.startswith("-") else (before, "", word)
            known = len(flag) > 2 and any(each.startswith(flag) for each in takes)
            if (is_address(value) or is_address(value.partition("=")[2])) and not known:
                shown = scrub(value, [value])
                use = f"; did you mean {takes[0]} {shown}?" if takes else ""
                self.error(f"{shown}: an address{f' for {flag}' if flag.startswith('-') else ''}{use}")
            before = word if word.startswith("-") and "=" not in word else ""

    def _commands(self) -> "list[Parser]":
        actions = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return [command for action in actions for command in action.choices.values()]


def finite(text: str) -> float:
    """A number that is one."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}; give a number above 0")
    return value


def at_least(least: int) -> Callable[[str], int]:
    """A whole number that is not smaller."""

    def count(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r}; give a whole number from {least} up")
        return value

    return count
