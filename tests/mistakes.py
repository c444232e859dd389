"""Commands that are refused."""

from collections.abc import Callable

import pytest


def refused(capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], program: str, *flags: object) -> str:
    """What a command says of a user's mistake: one line that begins with its name, and exit status 2."""
    assert main([str(flag) for flag in flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{program}: ")
    assert error.count("\n") == 1
    return error
