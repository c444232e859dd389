"""The installed package: sdist and wheel are built, hold exactly our packages, and run in an empty environment."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest

from stream.app.verbs import VERBS
from stream.version import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wheel_and_sdist_hold_the_three_packages_and_the_weights(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"stream", "engines", "calibration"}
    page = [f"stream/web/page/{name}" for name in ("page.html", "page.css", "main.js", "three.min.js")]
    weights = [f"engines/weights/{name}" for name in ("lifter.onnx", "lifter.toml", "temporal.onnx", "temporal.toml")]
    for wanted in (*weights, "stream/py.typed", *page):
        assert wanted in names
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        assert any(n.endswith("/run_stream.py") for n in sdist.getnames())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_installed_wheel_runs_without_the_checkout(programs: Path, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "grey.mp4"), "w") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), 99, np.uint8), format="rgb24")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([programs / command[0], *command[1:]], cwd=tmp_path, capture_output=True, text=True)

    done = run("hypothesis-stream", "--camera", "grey.mp4", "--view", "none", "--record", "takes")
    assert done.returncode == 0, done.stderr
    done = run("hypothesis-stream", "recover", "takes")
    assert (done.returncode, "nothing is lost" in done.stdout) == (0, True), done.stderr
    done = run("hypothesis-stream", "replay", "takes", "--snapshot", "page.html")
    assert (done.returncode, "5 moments" in done.stdout) == (0, True), done.stderr
    assert run("hypothesis-calibrate", "board", "--out", "board.pdf").returncode == 0
    assert run("hypothesis-stream", "--camera", "nowhere.mp4").returncode == 2
    assert "torch" not in run("python", "-m", "pip", "list").stdout.lower()


@pytest.mark.parametrize("name", ["engines", "calibration"])
@pytest.mark.parametrize("kind", ["package", "folder", "file"])
def test_another_package_of_our_name_is_named(tmp_path: Path, name: str, kind: str) -> None:
    """Found before ours, in the folder where Python is started: the program and the library say so in a line."""
    other = tmp_path / (f"{name}.py" if kind == "file" else name)
    if kind == "file":
        other.write_text("")
    else:
        other.mkdir()
        (other / ("__init__.py" if kind == "package" else "notes.txt")).write_text("")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for code, head in [
        ("from stream.app.program import main; raise SystemExit(main())", "hypothesis-stream: "),
        ("import runpy; runpy.run_module('stream', run_name='__main__')", "stream: "),
        ("import runpy; runpy.run_module('stream.export', run_name='__main__')", "stream: "),
        ("import stream; stream.open_stream", "ImportError: open_stream: "),
    ]:
        if kind == "folder":
            code = "import stream; stream.UserError, stream.EngineError"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
        if kind == "folder":
            assert (done.returncode, done.stderr) == (0, ""), "without an __init__.py ours is found"
            return
        assert done.returncode != 0
        said = done.stderr.splitlines()[-1]
        assert said.startswith(f"{head}{other} stands before ours of that name ({ROOT / name}); "), done.stderr


@pytest.mark.parametrize("kind", ["package", "file"])
def test_another_stream_is_named_by_the_commands(tmp_path: Path, kind: str) -> None:
    other = tmp_path / ("stream" if kind == "package" else "stream.py")
    if kind == "package":
        other.mkdir()
        (other / "__init__.py").write_text("")
    else:
        other.write_text("")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    code = "from calibration.programs import stream; raise SystemExit(stream())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"hypothesis-stream: {other} stands before ours"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command, given, code, words",
    [
        ("stream", ["--version"], 0, f"hypothesis-stream {__version__}\n"),
        ("stream", ["--help"], 0, "usage: hypothesis-stream"),
        ("stream", ["exprt", "takes"], 2, f"unknown verb 'exprt'; there are {', '.join(VERBS)}"),
        ("stream", ["walk.mp4"], 2, "hypothesis-stream: unrecognized arguments: walk.mp4"),
        ("stream", [], 2, "hypothesis-stream: no camera"),
        ("calibrate", ["--version"], 0, f"hypothesis-calibrate {__version__}\n"),
    ],
)
def test_the_commands_say_who_they_are(command: str, given: list[str], code: int, words: str) -> None:
    start = f"import sys; from calibration import programs; sys.argv[0] = 'hypothesis-{command}'; sys.exit("
    done = subprocess.run([sys.executable, "-c", f"{start}programs.{command}())", *given], cwd=ROOT,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == code and words in done.stdout + done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_the_end_of_a_command_does_not_look_through_all_that_was_imported() -> None:
    code = (
        "import gc; from stream.app import program; before = gc.get_freeze_count(); program._until_stopped(lambda: 0)\n"
        "print(before, gc.get_freeze_count() > 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "True"], done.stderr
