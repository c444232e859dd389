"""The installed package: sdist and wheel are built, hold exactly our packages, and run in an empty environment."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest

from stream.app.install_hint import shadowed


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wheel_and_sdist_hold_the_three_packages_and_the_weights(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"stream", "engines", "calibration"}
    for wanted in ("engines/weights/lifter.onnx", "engines/weights/lifter.toml", "stream/py.typed"):
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
    assert run("hypothesis-calibrate", "board", "--out", "board.pdf").returncode == 0
    assert run("hypothesis-stream", "--camera", "nowhere.mp4").returncode == 2
    assert "torch" not in run("python", "-m", "pip", "list").stdout.lower()


def test_another_package_of_our_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shadowed() is None
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "engines", raising=False)
    said = shadowed()
    assert said is not None
    assert str(tmp_path / "engines") in said and "stands before ours" in said
