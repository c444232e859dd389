"""What whoever commands a run over the network has to know: told once on the terminal, never logged or recorded."""

import hmac
import os
import secrets
import sys
from contextlib import suppress
from typing import Final

from stream.types import StreamError

VARIABLE: Final = "HYPOTHESIS_STREAM_TOKEN"
"""Environment variable with a token that several programs share; then it is not printed."""
_LEAST: Final = 16


class Token:
    """The token of a run: 128 random bits, or what the environment gives."""

    def __init__(self) -> None:
        self._value = ""
        self._given = self._told = False

    def prepare(self) -> None:
        """Make it, or take it from the environment, the first time.

        Raises:
            StreamError: if the environment gives one that is easy to guess.
        """
        if self._value:
            return
        given = os.environ.get(VARIABLE, "")
        if given and len(given) < _LEAST:
            raise StreamError(f"{VARIABLE} is too short to be secret: give {_LEAST} characters or more, or none")
        self._value, self._given = given or secrets.token_urlsafe(16), bool(given)

    def tell(self) -> None:
        """Print it, the first time; raises as ``prepare``."""
        self.prepare()
        if not (self._given or self._told):
            self._told = True
            _show(f"token of this run, for commands over the network: {self._value}")

    def tell_link(self, what: str, address: str) -> None:
        """Print a link that holds it, once it is prepared; without it where the environment gives it.

        Args:
            what: what the link leads to.
            address: of a page, which reads the token behind the ``#``: no browser sends that to a server.
        """
        _show(f"{what}: {address}" + (f" (with #token=, as {VARIABLE})" if self._given else f"#token={self._value}"))

    def __call__(self, said: object) -> bool:
        """Whether that is it; takes the same time for whatever is said."""
        return bool(self._value) and isinstance(said, str) and hmac.compare_digest(said.encode(), self._value.encode())


def _show(line: str) -> None:
    """To the terminal. Not by a logger: those have files."""
    with suppress(OSError, ValueError, AttributeError):  # nobody can read it: full, closed, or none
        print(line, file=sys.stderr, flush=True)
