"""Types of command-line arguments that several programs share: a mistake becomes argparse's one line."""

import argparse
import math
from collections.abc import Callable


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
