"""A row of the table of faults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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
