"""Fetching the demo's video: one line, a bar of our own on a terminal, and one line where it cannot be."""

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from stream.app.demo import DemoSet, fetch
from stream.types import StreamError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoSet:
    """A wheel on a shelf of this machine, which pip is told of in the user's own settings and nowhere else."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    wheel = folder / "walker-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("Walker/demo.mp4", os.urandom(3_000_000))
        archive.writestr("Walker/other.txt", "other")
        archive.writestr("walker-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: walker\nVersion: 1.0\n")
        archive.writestr("walker-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("walker-1.0.dist-info/RECORD", "")
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nno-index = true\nfind-links = {folder}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    return DemoSet("walker==1.0", sha256(wheel.read_bytes()).hexdigest(), wheel.stat().st_size, "Walker/")


def test_one_line_is_said_and_the_users_pip_settings_decide(
    shelf: DemoSet, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    caplog.set_level("INFO", "stream")
    folder = fetch(shelf, cache)
    assert sorted(path.name for path in folder.iterdir()) == ["demo.mp4", "other.txt"]
    assert caplog.messages == [f"fetching the demo video (walker==1.0, 3 MB, once, into {cache}) ..."]
    assert fetch(shelf, cache) == folder and len(caplog.messages) == 1
    assert capfd.readouterr() == ("", ""), "a program that uses it says what it wants itself"
    assert [path.name for path in cache.iterdir()] == [folder.name], "nothing else is left"


def test_on_a_terminal_the_bar_is_ours_and_nothing_is_pips(shelf: DemoSet, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from stream.app.demo import *; from stream.app.logs import lines_shown\n"
        f"with lines_shown(): fetch({shelf!r}, Path({str(tmp_path / 'c')!r}))"
    )
    termios = pytest.importorskip("termios", reason="a terminal of Unix")
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=slave, stderr=slave) as process:
        os.close(slave)
        text = b""
        while True:
            try:
                text += os.read(master, 4096)
            except OSError:  # the other side is closed
                break
    os.close(master)
    shown = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line).strip() for line in re.split(r"[\r\n]", text.decode())]
    lines = [line for line in shown if line]
    assert process.returncode == 0 and lines[0].startswith("fetching the demo video")
    assert lines[1:] and all(line.startswith("the demo video:") and "B/s" in line for line in lines[1:]), lines


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"requirement": "walker==2.0"},
            "could not be fetched (ERROR: No matching distribution found for walker==2.0)",
        ),
        ({"requirement": "nobody==1.0"}, "connect to the network"),
        ({"sha256": "0" * 64}, "is not the one that was checked; it was not used"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(
    shelf: DemoSet, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: dict[str, str], words: str
) -> None:
    with pytest.raises(StreamError) as caught:
        fetch(replace(shelf, **change), tmp_path / "cache")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == "" and list((tmp_path / "cache").iterdir()) == []
