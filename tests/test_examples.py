"""The examples where only the wheel is installed, the plugin as an installed package, and what CONTRIBUTING shows."""

import ast
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import stream
from engines import detectors
from stream import sinks, sources
from stream.app.command_line import main
from tests import sink_contract, test_detectors, test_sources
from tests.media import walker_frames
from tests.reading import file_source, opened, read_all

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "examples" / "plugin"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAID = {
    "calibrate": r"24 of 24 images show the board: f (99\d|100\d)\.\d .*\nwrote lens\.toml\n$",
    "one_image": r"^1 seen; wrote one_image\.jpg\n$",
    "own_detector": r"dark-room saw 1, mean score 0\.[3-9]",
    "own_sink": r"raises the \w+ hand\n(.*\n)*hands went up [1-9]\d* times\n$",
    "plot_hypotheses": r"^wrote hypotheses\.png\n$",
    "print_poses": r"(left hand [+-]\d\.\d\d [+-]\d\.\d\d \d+\.\d\d m, p = 0\.\d\d\n.*){20}",
    "record_and_read": r"answer_left_wrist_z_mm[\s\S]* rows of \d{3} numbers; \d+ people in the estimates\n$",
}
"""What each prints, of the man who waves; without a source they take the demo's video, which is the same one."""


def video(folder: Path) -> Path:
    """A second and a half of the man who waves, small."""
    with av.open(str(folder / "wave.mp4"), "w") as target:
        encoder = target.add_stream("libx264", rate=15)
        encoder.width, encoder.height, encoder.pix_fmt = 884, 496, "yuv420p"
        for frame in walker_frames(range(0, 60, 2)):
            small = cv2.resize(frame, (884, 496), interpolation=cv2.INTER_AREA)
            target.mux(encoder.encode(av.VideoFrame.from_ndarray(small, format="bgr24")))
        target.mux(encoder.encode(None))
    return folder / "wave.mp4"


def test_there_are_seven_and_each_is_short_and_installed() -> None:
    assert {path.stem for path in EXAMPLES} == set(SAID)
    for path in EXAMPLES:
        text = path.read_text()
        assert len(text.splitlines()) <= 60, path
        assert "sys.path" not in text and "__file__" not in text
        modules = [n.module or "" for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]
        assert not [m for m in modules if m.partition(".")[0] in ("tests", "benchmarks")]


@pytest.mark.slow
@pytest.mark.video
@pytest.mark.timeout(900)  # the first waits for the wheel and its environment
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_where_only_the_wheel_is_installed(path: Path, programs: Path, tmp_path: Path) -> None:
    give = [str(video(tmp_path))]
    if path.stem == "calibrate":
        give = []
    if path.stem == "one_image":
        cv2.imwrite(str(tmp_path / "man.png"), walker_frames([0])[0])
        give = [str(tmp_path / "man.png")]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [programs / "python", path, *give], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert re.search(SAID[path.stem], done.stdout), done.stdout
    for name in re.findall(r"wrote (\S+\.(?:png|jpg))", done.stdout):
        assert cv2.imread(str(tmp_path / name)).std() > 10, "there is something in the picture"


# the plugin


@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """As pip leaves it: the package, and its entry points beside it."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    write_dist(tmp_path / "site", (PLUGIN / "pyproject.toml").read_text())
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    forget(monkeypatch)
    yield
    for name in [name for name in sys.modules if name.startswith("motion_extras")]:
        del sys.modules[name]


def write_dist(site, pyproject):
    import tomllib

    info = site / "motion_extras-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: motion-extras\nVersion: 1.0\n")
    groups = tomllib.loads(pyproject)["project"]["entry-points"]
    (info / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()) for group, points in groups.items()
        )
    )


def forget(monkeypatch):
    """Look for installed packages again, now and once this is over."""
    for registry in (detectors, sources, sinks):
        monkeypatch.setattr(registry._PLUGINS, "_installed", None)


def walk(folder):
    """A bright bar that walks through a dark room."""
    images = np.zeros((30, 240, 320, 3), np.uint8)
    for k, image in enumerate(images):
        image[60:200, 20 + 6 * k : 60 + 6 * k] = 200
    np.save(folder / "walk.npy", images)
    return folder / "walk.npy"


def test_installed_kinds_are_found_by_the_program_and_by_python(plugin, tmp_path, capfd):
    assert "moving-box" in stream.detectors() and "npy" in sources.kinds() and "answers" in sinks.kinds()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(5)
        where = f"127.0.0.1:{ear.getsockname()[1]}"
        flags = ["--camera", str(walk(tmp_path)), "--detector", "moving-box", "--answers", where, "--view", "none"]
        assert main(flags) == 0
        said = json.loads(ear.recv(65536))
        assert set(said) == {"t", "answers"}
        with stream.open_stream(walk(tmp_path), detector="moving-box", answers=where) as live:  # pyright: ignore[reportCallIssue] - a plugin's flag
            assert sum(len(estimate.people) for estimate in live) > 10
        assert re.fullmatch(rf"answers: \d+ datagrams to {where}", live.summary.lines[-1])
    assert "datagrams to" in capfd.readouterr().out
    with pytest.raises(stream.UserError, match=r"answers: 'nowhere' is not an address"):
        stream.open_stream(walk(tmp_path), answers="nowhere")  # pyright: ignore[reportCallIssue] - a plugin's flag


def test_the_plugins_kinds_keep_the_contracts_of_ours(plugin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    box = detectors.load("moving-box")
    test_detectors.test_says_what_it_is(box)
    test_detectors.test_odd_sizes_are_no_error(box, (1, 1, 3))
    images = np.load(walk(tmp_path))
    seen = test_detectors.watch(box, list(images))[-1]
    assert seen.person
    test_detectors.check(seen, images[0], "moving-box")
    for check in (test_sources.test_contract_of_frames, test_sources.test_contract_of_close,
                  test_sources.test_contract_of_misuse, test_sources.test_contract_of_the_end):  # fmt: skip
        with test_sources.source_of("npy", tmp_path) as source:
            check(source)
    with opened(file_source(str(walk(tmp_path)))) as source:
        np.testing.assert_array_equal([frame.image for frame in read_all(source)], images)
    (tmp_path / "bad.npy").write_bytes(b"no array")
    with pytest.raises(stream.StreamError, match=r"bad\.npy: cannot be read"):
        file_source(str(tmp_path / "bad.npy")).open()
    sink_contract.whole(sinks.kinds()["answers"])
    sink_contract.broken(sinks.kinds()["answers"])


def test_a_package_that_is_broken_is_named_and_spoils_nothing_else(monkeypatch, tmp_path, caplog):
    (tmp_path / "gone_wrong.py").write_text("import no_such_module\n")
    (tmp_path / "empty_thing.py").write_text("")
    (tmp_path / "no_options.py").write_text("Options = int\n")
    write_dist(tmp_path, """
[project.entry-points."hypothesis_stream.detectors"]
wrong = "gone_wrong"
[project.entry-points."hypothesis_stream.sources"]
empty = "empty_thing"
[project.entry-points."hypothesis_stream.sinks"]
none = "no_options"
""")  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    forget(monkeypatch)
    caplog.set_level("WARNING")
    assert "movenet-thunder" in detectors.names() and "file" in sources.kinds() and "recorder" in sinks.kinds()
    assert detectors.names() and len(caplog.messages) == 3, "each is said once"
    for words in ("wrong (gone_wrong) of the package motion-extras 1.0 cannot be used: ModuleNotFoundError",
                  "hypothesis_stream.sources lacks claims and make", "are no options of a sink"):  # fmt: skip
        assert sum(words in message for message in caplog.messages) == 1, caplog.messages


def test_contributing_shows_the_plugin_as_it_is():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in ("pyproject.toml", "motion_extras/moving_box.py", "motion_extras/npy.py", "motion_extras/answers.py"):
        code = (PLUGIN / path).read_text().strip()
        assert code in text, f"CONTRIBUTING.md does not show examples/plugin/{path} as it is"
