"""The contract of every sink, found in the directory: a new one is tested without editing a test."""

import os
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from engines.argument_types import FAILED, MISTAKE
from stream import sinks
from stream.app import outputs
from stream.app.command_line import config_of, main, parser
from stream.recordings.schema import EVENTS
from stream.recordings.takes import open_take
from stream.recordings.writer import Recorder
from stream.sinks import kinds
from stream.types import StreamError
from tests import sink_contract
from tests.test_viewers import display

__all__ = ["display"]  # a fixture
HERE = Path(__file__).parent


@pytest.fixture(params=kinds())
def kind(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return kinds()[request.param]


def skip_viewer(kind):
    if kind.role == "viewer":
        pytest.skip("a viewer is tried in a process of its own")


@pytest.mark.parametrize("check", [sink_contract.whole, sink_contract.broken])
def test_contract(kind, check, monkeypatch):
    skip_viewer(kind)
    monkeypatch.setattr(Recorder, "essential", False)  # a file's run ends with it, which is tested with the pipeline
    check(kind)


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if kind.role == "viewer"])
def test_contract_of_a_viewer(name, display, tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", display[0])
    if reason := kinds()[name].missing():
        pytest.skip(reason)
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-m", "tests.sink_contract", name]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stdout.endswith("kept\n"), done.stderr


def test_what_is_made_and_never_opened_leaves_nothing(kind, tmp_path):
    skip_viewer(kind)
    options = sink_contract.example(kind)
    (tmp_path / "take").mkdir()
    options.make(sinks.Run(sink_contract.Status, sink_contract.Control(), tmp_path / "take"))
    assert [p.name for p in tmp_path.rglob("*")] == ["take"]


def test_every_flag_is_in_the_help_and_off_by_itself(kind):
    said = parser().format_help()
    for field in fields(kind):
        assert f"--{field.name.replace('_', '-')} " in said and field.metadata["help"].split(";")[0][:20] in said
        assert not field.default


NEW = """
from dataclasses import dataclass
from pathlib import Path
from stream.sinks import SinkOptions, flag

class Counter:
    policy, wants_images = "every", False
    def __init__(self, path, control):
        self.path, self.control, self.count = path, control, 0
    def open(self, run_info): ...
    def write(self, estimate, images):
        self.count += 1
        if self.count == 3:
            self.control.stop()
            raise KeyError("three")
    def close(self):
        self.path.write_text(str(self.count))

@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    count_out: Path | None = flag(None, "count the frame sets", metavar="TXT", parse=Path, example="n.txt")
    def check(self, config):
        if self.count_out and self.count_out.suffix != ".txt":
            from stream.types import StreamError
            raise StreamError("--count-out is a .txt")
    def make(self, run):
        return Counter(self.count_out, run.control) if self.count_out else None
"""


@pytest.fixture
def new_kind(tmp_path, monkeypatch):
    """A sink that is one file, put where the registry looks."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "counter.py").write_text(NEW)
    monkeypatch.setattr(sinks, "__path__", [*sinks.__path__, str(folder)])
    yield kinds()["counter"]
    del sys.modules["stream.sinks.counter"]


def test_a_new_sink_is_one_file(new_kind, tmp_path, monkeypatch, capsys):
    assert "--count-out TXT" in parser().format_help()
    assert asdict(sink_contract.example(new_kind)) == {"count_out": Path("n.txt")}
    monkeypatch.chdir(tmp_path)
    flags = ["--camera", "synthetic:frames=1000", "--view", "none", "--detector", "movenet-lightning"]
    assert main([*flags, "--count-out", "n.txt"]) == FAILED, "its fault is in the exit code"
    assert (tmp_path / "n.txt").read_text() == "3"
    said = capsys.readouterr()
    assert "run_stream: counter stopped by a fault of its own: KeyError: 'three'" in said.err
    assert 3 <= int(said.out.split()[0]) < 100, "it asked the run to stop"
    assert main([*flags, "--count-out", "n.csv"]) == MISTAKE
    assert "--count-out is a .txt" in capsys.readouterr().err


def test_frames_of_no_recording_are_refused_before_anything_is_opened():
    config = config_of(parser().parse_args(["--camera", "gone.mp4", "--record-video"]))
    with pytest.raises(StreamError, match="--record-video needs --record DIR"):
        outputs.check(config)


def test_what_is_told_the_control_is_a_row_of_the_recordings_events(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    control = sink_contract.Control()

    class Mark(sink_contract.Count):
        def write(self, estimate, images):
            super().write(estimate, images)
            if estimate.index == 4:
                control.event("user", "the jump")

    sink_contract.run(kinds()["recorder"], control=control, other=Mark())
    rows = [row for batch in open_take(tmp_path / "takes").batches(EVENTS) for row in batch.to_pylist()]
    (row,) = rows
    assert (row["source"], row["text"]) == ("user", "the jump")
    assert 4 / 30 - 1e-6 <= row["time"] <= (sink_contract.FRAMES - 1) / 30, "in the file's own time"
