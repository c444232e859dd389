"""--config and --print-config: what is printed is read back to the same run, and what cannot be right is one line."""

import ast
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from engines.argument_types import MISTAKE
from engines.detectors.fallback import FallbackCrowd, FallbackOptions
from engines.runtimes import NetworkOptions
from engines.top_down import TopDownOptions, TopDownSession
from stream.app import build
from stream.app.command_line import config_of, main
from stream.app.config_file import as_toml, merged
from stream.app.flags import parser
from stream.config import Config
from stream.live.people import Everybody
from stream.sinks import SinkOptions, frames, recorder
from stream.types import StreamError
from tests.faults.fault import row

SECRET = "hush-7"
FLAGS = [
    "--camera", "left=synthetic:frames=3", "--camera", "synthetic:frames=4", "--fps", "25.5", "--size", "320x240",
    "--detector", "movenet-lightning,mediapipe", "--runtime", "onnx", "--precision", "fp32", "--view", "none",
    "--record", 'ta"ke\\s', "--record-video", "--sync-offset", "left=-0.012", "--fov", "71", "--sync-delay", "1",
]  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main([*flags, "--print-config"]) == 0
    said = capsys.readouterr()
    assert not said.err
    return said.out


def read(*flags: str) -> Config:
    return config_of(merged(parser, flags))


def refused(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    try:
        assert main(list(flags)) == MISTAKE
    except SystemExit as left:
        assert left.code == MISTAKE
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("run_stream: "), said.err
    return said.err


def test_what_is_printed_is_read_back_to_the_same_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text(printed(capsys, *FLAGS))
    assert asdict(read("--config", str(file))) == asdict(read(*FLAGS))
    assert printed(capsys, "--config", str(file)) == file.read_text()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_file_is_read_as_powershell_and_editors_write_it(tmp_path: Path, encoding: str) -> None:
    """``--print-config > run.toml`` is UTF-16 in PowerShell, and its names are whatever cameras may have."""
    flags = ["--camera", "Küche 3=synthetic:frames=3", "--camera", "10=synthetic:frames=4", "--bind", "order",
             "--rotate", "Küche 3=90", "--calibration", "lab.toml"]  # fmt: skip
    file, text = tmp_path / "run.toml", "\n".join(as_toml(merged(parser, flags), read(*flags)))
    file.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    found = read("--config", str(file))
    assert asdict(found) == asdict(read(*flags))
    assert [(s.name, s.rotate) for s in found.sources] == [
        ("Küche 3", 90),
        ("10", None),
    ] and found.setup.bind == "order"


def test_a_vector_and_several_letterboxes_are_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--camera", "0", "--calibration", "lab.toml", "--up", "0,-1,1e-05", "--letterbox", "a=fit",
             "--letterbox", "b=0.5,1,2", "--fusion", "hypotheses"]  # fmt: skip
    file = tmp_path / "run.toml"
    file.write_text(printed(capsys, *flags))
    assert asdict(read("--config", str(file))) == asdict(read(*flags))


def test_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('camera = ["a=synthetic:frames=3", "b=synthetic:frames=4"]\nfps = 30\nrecord-video = true\n'
                    'record = "x"\nup = [0, 0, 1]\nsize = [640, 480]\ndetector = ["movenet-lightning"]\n')  # fmt: skip
    config = read("--config", str(file), "--camera", "c=synthetic:", "--fps", "10")
    assert [source.name for source in config.sources] == ["c"]
    assert config.sources[0].fps == 10 and config.sources[0].size == (640, 480)
    made = {one.name(): one for one in config.output.sinks if isinstance(one, SinkOptions)}
    assert made["recorder"] == recorder.Options(Path("x")) and made["frames"] == frames.Options(True)
    assert config.setup.up == (0, 0, 1) and config.detect.names == ("movenet-lightning",)


def test_every_threshold_of_a_run_can_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'camera = "synthetic:"\n[thresholds.tracks]\nevidence = 0.25\n[thresholds.top-down]\nkeep = 0.125\n'
        "search-sides = [128]\n[thresholds.fusion]\nchain = 0.25\n[thresholds.fallback]\nsample = 3\n"
        "[thresholds.sync]\ntolerance-s = 0.02\n[thresholds.detect]\nmin-joints = 7\n"
    )
    config = read("--config", str(file))
    assert (config.tracks.evidence, config.top_down.keep, config.top_down.search_sides) == (0.25, 0.125, (128,))
    assert (config.fusion.chain, config.fallback.sample, config.sync.tolerance_s) == (0.25, 3, 0.02)
    assert config.detect.min_joints == 7
    file.write_text(printed(capsys, "--config", str(file)))
    assert asdict(read("--config", str(file))) == asdict(config)
    for part in ("tracks", "top_down", "fusion", "fallback", "sync"):
        for field in fields(getattr(config, part)):
            key = f"{field.name.replace('_', '-')} = "
            assert f"\n{key}" in file.read_text() or getattr(getattr(config, part), field.name) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fpss = 30", "unknown key 'fpss'; did you mean fps?"),
        ("record_video = true", "did you mean record-video?"),
        ("config = 'x'", "unknown key 'config'"),
        ("print-config = true", "unknown key 'print-config'"),
        ("fps = 'fast'", "argument --fps: 'fast' is not a number of frames"),
        ("fps = {a = 1}", "fps is to be a value"),
        ("record-video = 3", "--record-video"),
        ("thresholds = 3", "table of tables"),
        ("[thresholds.track]\n", "did you mean tracks?"),
        ("[thresholds.tracks]\nevidense = 1", "did you mean evidence?"),
        ("[thresholds.tracks]\nevidence = 'much'", "evidence = 'much' is not of the kind of 0.6"),
        ("[thresholds.tracks]\nevidence = nan", "not of the kind"),
        ("[thresholds.fallback]\nsample = 1.5", "not of the kind"),
        ("[thresholds.detect]\nnames = ['x']", "unknown key 'names'"),
        ("a = [", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        (f'camera = "rtsp://u:{SECRET}@host/x', "not TOML"),
        (f'record = "rtsp://u:{SECRET}@host/x"', "an address for --record"),
        ('camera = "rtsp://***@host/x"', "was left out when it was printed"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(tmp_path, capsys, text: str, said: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    file.chmod(0o600)
    line = refused(capsys, "--config", str(file))
    assert said in line and "run.toml" in line and SECRET not in line


def test_what_is_no_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_text("#" * 2_000_000)
    (tmp_path / "bytes").write_bytes(b"\xff")
    for name in ("none", "folder", "fifo", "large", "bytes"):
        assert name in refused(capsys, "--config", str(tmp_path / name))


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such permissions there")
@row("a --config with a password that others may read", MISTAKE, "others may read it: chmod 600", "it is not used")
def test_a_file_with_a_password_is_for_its_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    for address in (f"a=rtsp://u:{SECRET}@host/x", f"http://host/x?{SECRET}", f"u:{SECRET}@host/x"):
        file.write_text(f'camera = ["{address}"]\n')
        for mode in (0o644, 0o640, 0o604):
            file.chmod(mode)
            line = refused(capsys, "--config", str(file), "--print-config")
            assert f"chmod 600 {file}" in line and SECRET not in line
        file.chmod(0o600)
        assert SECRET in read("--config", str(file)).sources[0].source
        text = printed(capsys, "--config", str(file))
        assert SECRET not in text and "its password is left out" in text


@row("--print-config of a camera by env:VARIABLE", 0, "left=env:LEFT", "the password is not shown")
def test_a_camera_by_a_variable_is_printed_as_it_was_given(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("LEFT", f"rtsp://u:{SECRET}@host/x")
    text = printed(capsys, "--camera", "left=env:LEFT")
    assert SECRET not in text and '"left=env:LEFT",\n' in text
    file = tmp_path / "run.toml"
    file.write_text(text)
    file.chmod(0o644)
    assert asdict(read("--config", str(file))) == asdict(read("--camera", "left=env:LEFT"))


def test_a_demo_is_printed_without_being_fetched(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    def fetched(*_: object) -> Path:
        raise StreamError("fetched")

    monkeypatch.setattr("stream.app.demo.fetch", fetched)
    assert 'demo = "multi"\n' in printed(capsys, "--demo", "multi")


def test_settings_go_down_only() -> None:
    """The whole Config is known to the program alone; what is below is handed its own part, and hands it on whole."""
    root = Path(__file__).resolve().parents[1]
    knows = set()
    for path in [*(root / "stream").rglob("*.py"), *(root / "engines").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "stream.config":
                knows |= {path.relative_to(root).as_posix() for name in node.names if name.name == "Config"}
    # Sinks look for an output that would destroy an input before anything is opened, and keep nothing of it.
    program = {
        f"stream/app/{name}.py" for name in ("build", "capture", "command_line", "config_file", "demo", "outputs")
    }
    program |= {"stream/api/keywords.py"}  # makes one of keywords, as the command line does of flags
    assert knows - program == {f"stream/sinks/{name}.py" for name in ("_options", "video", "frames", "publish")}
    config = replace(
        read("--camera", "synthetic:frames=1", "--view", "none", "--detector", "movenet-lightning"),
        top_down=TopDownOptions(keep=0.125), fallback=FallbackOptions(sample=7), network=NetworkOptions("onnx", "fp32"),
    )  # fmt: skip
    with ExitStack() as stack:
        pipeline, _ = build.prepare(config, stack)
        estimator = pipeline._estimator
    session = estimator._eyes[0].session
    assert isinstance(session, FallbackCrowd) and session._owner._options is config.fallback
    inner = session._owner.choose(0.0)[1].session()
    assert isinstance(inner, TopDownSession) and inner._options is config.top_down
    assert estimator._detect is config.detect and estimator._people is config.people
    assert isinstance(estimator._identify, Everybody) and estimator._identify._options is config.identity
