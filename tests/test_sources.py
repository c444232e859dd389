"""The contract of every source, what a command line can name, and passwords."""

import contextlib
import threading
import time
import traceback
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stream import sources
from stream.app.build import not_taken
from stream.config import SourceConfig
from stream.sources import Source, example, kind_of, kinds, make_source, parse_source, parse_sources
from stream.types import StreamError
from tests import cluster_node, servers
from tests.reading import (
    FAST,
    SECRET,
    CaptureDouble,
    ReadingThread,
    camera_source,
    file_source,
    following,
    opened,
    read_all,
    wait_until,
)
from tests.servers import MjpegServer, coded, write_video


@contextlib.contextmanager
def make_file(folder):
    yield file_source(write_video(folder / "a.mp4", 12))


@contextlib.contextmanager
def make_chapters(folder):
    paths = [write_video(folder / f"{name}.mp4", 6) for name in "ab"]
    yield file_source("+".join(map(str, paths)))


@contextlib.contextmanager
def make_images(folder):
    for number in range(12):
        cv2.imwrite(str(folder / f"image{number}.png"), coded(number))
    yield file_source(folder)


@contextlib.contextmanager
def make_network(folder):
    with MjpegServer(fps=60) as server:
        yield file_source(server.url(f"user:{SECRET}"), **FAST)


@contextlib.contextmanager
def make_camera(folder):
    yield camera_source([CaptureDouble()])


@contextlib.contextmanager
def source_of(kind, folder):
    """One that has what it needs: a server or a device made here, or what its module says that it can be tried with."""
    if maker := globals().get(f"make_{kind}"):
        with maker(folder) as source:
            yield source
        return
    text = example(kind, folder)
    assert text, f"stream/sources/{kind}.py has no example(folder); or write make_{kind} here if it needs a server"
    yield file_source(text)


@contextlib.contextmanager
def make_node(folder):
    pytest.importorskip("zenoh", reason="needs zenoh, of requirements-cluster.txt")
    with cluster_node.publishing("cam") as group:
        yield file_source(f"node:{group}/cam")


@pytest.fixture(params=kinds())
def source(request, tmp_path):
    with source_of(request.param, tmp_path) as source:
        yield source
        source.close()
    wait_until(lambda: not any(thread.name == "drain-cam" for thread in threading.enumerate()))


def test_contract_of_frames(source):
    assert isinstance(source, Source)
    info = source.open()
    frames = [following(source) for _ in range(10)]
    assert info.name == source.name == "cam"
    assert info.kind == source.kind and info.kind in kinds()
    assert info.live == source.live
    assert info.clock == ("monotonic" if info.live else "media")
    assert SECRET not in repr((info, getattr(source, "config", None), source.status()))
    assert all("\n" not in message for message in info.messages)
    for frame in frames:
        assert frame.camera == "cam"
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (info.size[1], info.size[0], 3)
        assert frame.image.flags.c_contiguous and not frame.image.flags.writeable
    assert (np.diff([frame.index for frame in frames]) >= 1).all()
    assert (np.diff([frame.t for frame in frames]) > 0).all()
    if info.live:
        assert 0 <= time.monotonic() - frames[-1].t < 20, "the monotonic clock"
    status = source.status()
    assert status.read == 10
    assert status.reconnects == 0 and not status.stalled and status.note == ""


def test_contract_of_close(source):
    source.open()
    source.read()
    source.close()
    source.close()
    assert source.read() is None
    assert source.read() is None
    assert not source.status().stalled


def test_contract_of_misuse(source):
    with pytest.raises(RuntimeError, match="before it was opened"):
        source.read()
    source.open()
    with pytest.raises(RuntimeError, match="opened twice"):
        source.open()


def test_closing_what_was_never_opened(source):
    source.close()


def test_contract_of_the_end(source):
    if source.open().live:
        pytest.skip("a live source does not end")
    frames = read_all(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert source.read() is None
    assert source.status().read == 12 and source.status().dropped == 0
    assert source.status().age_s is None


def test_contract_of_being_closed_while_reading(source):
    source.open()
    reading = ReadingThread(source)
    time.sleep(0.1)
    start = time.monotonic()
    source.close()
    reading.thread.join(20)
    assert not reading.thread.is_alive() and reading.error is None
    assert time.monotonic() - start < 10


NEW_SOURCE = """
import numpy as np
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import SourceInfo

def claims(text):
    return text.startswith("noise:")

def make(config):
    return Noise(config)

def example(folder):
    return "noise:12"

class Noise(SequenceSource):
    kind = "noise"
    def _begin(self):
        rng = np.random.default_rng(0)
        count = int(self.config.source.partition(":")[2])
        return (Shot(k, k / 30, rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for k in range(count))
    def _describe(self, first):
        return SourceInfo(self.name, "noise", self.config.shown, (64, 48), 30.0, None, self.live, "media")
"""


def test_a_new_source_is_one_file(monkeypatch, tmp_path):
    (tmp_path / "noise.py").write_text(NEW_SOURCE)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    assert "noise" in kinds() and kind_of("noise:3") == "noise"
    for contract in (
        test_contract_of_frames,
        test_contract_of_close,
        test_contract_of_misuse,
        test_contract_of_the_end,
    ):
        with source_of("noise", tmp_path) as source:
            contract(source)


def test_no_kind_takes_a_setting_and_says_nothing(source):
    """Each of --size, --fps and --realtime is used, said not to be, or refused."""
    config = replace(source.config, size=(64, 48), fps=7.0)
    if source.live:
        with pytest.raises(StreamError, match="leave out --realtime"):
            make_source(replace(config, realtime=True))
    else:
        assert make_source(replace(config, realtime=True)).live
    if source.kind == "camera":
        return  # it says itself what it was asked for and did not take, test_source_camera.py
    with contextlib.closing(make_source(config)) as other:
        info = other.open()
        said = [*info.messages, *not_taken(config, info, 1)]
        assert info.size == config.size or any("--size 64x48" in line for line in said)
        assert info.fps is None or info.fps == config.fps or any("--fps 7" in line for line in said)


@pytest.mark.parametrize(
    "text", ["synthetic:wings=2", "synthetic:yaw=left", "ftp://host/a.mp4", "file:///a.mp4", "9" * 300]
)
def test_what_cannot_be_a_source_is_one_line(text):
    with pytest.raises(StreamError) as caught:
        make_source(SourceConfig(text, "cam")).open()
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 20


# --- NAME=SOURCE -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "source", "kind"),
    [
        ("0", "cam2", "0", "camera"),
        ("left=1", "left", "1", "camera"),
        ("/dev/video3", "cam2", "/dev/video3", "camera"),
        ("top-1_b=/dev/v4l/by-id/usb-x", "top-1_b", "/dev/v4l/by-id/usb-x", "camera"),
        ("a.mp4", "cam2", "a.mp4", "file"),
        ("walk=a.mp4", "walk", "a.mp4", "file"),
        ("9 lives=a.mp4", "9 lives", "a.mp4", "file"),
        ("9,lives=a.mp4", "cam2", "9,lives=a.mp4", "file"),
        ("./x=1.mp4", "cam2", "./x=1.mp4", "file"),
        ("C:\\videos\\a.mp4", "cam2", "C:\\videos\\a.mp4", "file"),
        ("http://host/v?user=a&pwd=b", "cam2", "http://host/v?user=a&pwd=b", "network"),
        ("gate=http://host/v?user=a&pwd=b", "gate", "http://host/v?user=a&pwd=b", "network"),
        ("rtsp://u:p=q@host/x", "cam2", "rtsp://u:p=q@host/x", "network"),
        ("synthetic:frames=3,yaw=4", "cam2", "synthetic:frames=3,yaw=4", "synthetic"),
        ("s=synthetic:frames=3", "s", "synthetic:frames=3", "synthetic"),
    ],
)
def test_parse(text, name, source, kind):
    config = parse_source(text, 2)
    assert (config.name, config.source, kind_of(config.source)) == (name, source, kind)


def test_a_file_with_an_equals_sign_that_exists_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_source("a=b.mp4", 0).source == "b.mp4"
    write_video(tmp_path / "a=b.mp4", 3)
    config = parse_source("a=b.mp4", 0)
    assert (config.name, config.source) == ("cam0", "a=b.mp4")
    with opened(make_source(config)) as source:
        assert len(read_all(source)) == 3


def test_a_folder_is_images(tmp_path):
    assert kind_of(str(tmp_path)) == "images"
    assert kind_of("x" * 5000) == "file"


@pytest.mark.parametrize("text", ["", "left=", "  "])
def test_no_source(text):
    with pytest.raises(StreamError, match="no source in it"):
        parse_source(text, 0)


def test_names_by_position():
    assert [config.name for config in parse_sources(["a.mp4", "x=b.mp4", "c.mp4"])] == ["cam0", "x", "cam2"]


@pytest.mark.parametrize("texts", [["x=a.mp4", "x=b.mp4"], ["x=a.mp4", "X=b.mp4"], ["cam1=a.mp4", "b.mp4"]])
def test_one_name_twice_is_refused(texts):
    with pytest.raises(StreamError, match="two cameras are called"):
        parse_sources(texts)


@pytest.mark.parametrize(
    "texts",
    [
        ["a.mp4", "b=./a.mp4"],
        ["0", "x=0"],
        ["0", "/dev/video0"],
        [f"rtsp://u:{SECRET}@h/1", f"b=rtsp://u:{SECRET}@h/1"],
    ],
)
def test_one_source_twice_is_refused(texts):
    with pytest.raises(StreamError, match="given twice") as caught:
        parse_sources(texts)
    assert SECRET not in str(caught.value)


# --- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_no_password_in_an_error_its_traceback_or_on_stderr(scheme, capfd):
    url = f"{scheme}://user:{SECRET}@127.0.0.1:{servers.free_port()}/x?token={SECRET}"
    with pytest.raises(StreamError, match="connection refused") as caught:
        make_source(SourceConfig(url, "cam")).open()
    assert "\n" not in str(caught.value)
    error = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__context__
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert capfd.readouterr() == ("", "")
