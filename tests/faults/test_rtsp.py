"""RTSP cameras that do what none should: they give no answer or a wrong one, or go wrong while they send."""

import threading
from collections.abc import Callable, Iterator

import pytest

from benchmarks.rtsp_camera import RtspCameras
from calibration.errors import UserError
from engines.argument_types import DONE, MISTAKE
from stream.config import SourceConfig
from stream.sources import make_source
from stream.sources._live import LiveSource
from stream.sources._source import Source
from tests.faults.fault import Fault, row
from tests.reading import SECRET, wait_until
from tests.servers import access_units, decode

SHORT_S, LONG_S = 1.0, 8.0
"""A camera that gives no image within this time is not there: short where that is what comes of it."""
WAITED_FOR = ("", "no answer in time", "it sends, but not one image in")
"""What is said of one that is waited for in vain; on a busy machine the whole source may give up a moment before."""
LIMIT_S = 30.0
UNITS = access_units(30)
OTHER = access_units(30, (96, 64))


def answer(status: str, body: str = "", *heads: str) -> str:
    """What an RTSP server answers."""
    lines = [f"RTSP/1.0 {status}", "CSeq: {cseq}", *heads, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def says(method: str, text: str) -> Callable[[RtspCameras], object]:
    return lambda camera: camera.answers.__setitem__(method, text)


def describes(*lines: str, head: str = "Content-Type: application/sdp") -> Callable[[RtspCameras], object]:
    return says("DESCRIBE", answer("200 OK", "\r\n".join(lines) + "\r\n", head))


SDP = "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=camera", "t=0 0"

REFUSED = [
    Fault("never answers", lambda c: c.silent.set(), MISTAKE, "no answer in time", ""),
    Fault("answers in HTTP", says("OPTIONS", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), MISTAKE,
          "there is nothing at this path (404)", ""),
    Fault("answers with noise", says("OPTIONS", "\x07\x1b[2J" * 5000), MISTAKE, "no answer in time", ""),
    Fault("answers without an end", says("DESCRIBE", "RTSP/1.0 200 OK\r\n" + "X: y\r\n" * 50_000), MISTAKE,
          "no answer in time", ""),
    Fault("says that its answer is a gigabyte", says("DESCRIBE", "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Type: "
          "application/sdp\r\nContent-Length: 1000000000\r\n\r\nv=0"), MISTAKE, "no answer in time", ""),
    Fault("says that its answer is of minus one byte", says("DESCRIBE", "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n"
          "Content-Type: application/sdp\r\nContent-Length: -1\r\n\r\nv=0"), MISTAKE, "damaged beyond reading", ""),
    Fault("knows no such stream", says("DESCRIBE", answer("404 Not Found")), MISTAKE, "(404)", ""),
    Fault("has an error", says("DESCRIBE", answer("500 Internal Server Error")), MISTAKE,
          "the server has an error (5xx)", ""),
    Fault("sends elsewhere, to a local file", says("DESCRIBE", answer("302 Found", "", "Location: file:///etc/hostname")),
          MISTAKE, "not a kind of video that is read here", ""),
    Fault("sends elsewhere for ever", says("DESCRIBE", answer("302 Found", "", "Location: rtsp://127.0.0.1:{port}/0")),
          MISTAKE, "no answer in time", ""),
    Fault("describes nothing", describes(), MISTAKE, "there is no video in it", ""),
    Fault("describes noise", describes("\x00\xff" * 300), MISTAKE, "there is nothing at this path (404)", ""),
    Fault("describes sound alone", describes(*SDP, "m=audio 0 RTP/AVP 0"), MISTAKE, "there is no video in it", ""),
    Fault("describes a codec that there is not", describes(*SDP, "m=video 0 RTP/AVP 96", "a=rtpmap:96 NONE/90000",
          "a=control:track1"), MISTAKE, "its codec is not one that is read here", ""),
    Fault("refuses to set up", says("SETUP", answer("454 Session Not Found")), MISTAKE,
          "the server refuses the request", ""),
    Fault("refuses to play", says("PLAY", answer("455 Method Not Valid in This State")), MISTAKE,
          "the server refuses the request", ""),
    Fault("plays and sends nothing", says("PLAY", answer("200 OK", "", "Session: 1")), MISTAKE, "", ""),
    Fault("sends noise as packets", lambda c: c.garbled.set(), MISTAKE, "it sends, but not one image in", ""),
    Fault("closes amid its first image", lambda c: c.broken.set(), MISTAKE, "it ended before there was an image", ""),
]  # fmt: skip


@pytest.fixture
def camera() -> Iterator[RtspCameras]:
    with RtspCameras([UNITS], 30.0) as camera:
        yield camera


def source(url: str, tapped: bool = False, open_s: float = LONG_S) -> Source:
    made = make_source(SourceConfig(url, "cam", stall_s=0.5, retry_s=(0.05, 0.1), open_s=open_s))
    if tapped:
        assert isinstance(made, LiveSource)
        made.tap(lambda frame: None, "all")
    return made


@pytest.mark.parametrize("fault", REFUSED, ids=str)
@row("an RTSP camera that {fault}")
def test_what_is_no_camera_is_refused_in_one_line_and_soon(fault: Fault, camera: RtspCameras, capfd) -> None:
    fault.inject(camera)
    camera.answers = {k: text.replace("{port}", str(camera.port)) for k, text in camera.answers.items()}
    said: list[str] = []
    waited = fault.words in WAITED_FOR

    def opening() -> None:
        try:
            source(camera.url(login=f"user:{SECRET}"), open_s=SHORT_S if waited else LONG_S).open()
        except UserError as error:
            said.append(str(error))

    thread = threading.Thread(target=opening, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert said, "it opens, or hangs"
    assert fault.words in said[0] or waited and "hangs; it did not open in 1 s" in said[0]
    assert "\n" not in said[0] and SECRET not in said[0] and "127.0.0.1" in said[0]
    assert "\x1b" not in said[0] and capfd.readouterr().err == ""


@row(
    "an RTSP camera that describes ten thousand streams",
    DONE,
    "of its 1000 video tracks that of",
    "the one with images",
)
def test_a_camera_of_many_tracks_is_read_and_the_others_are_not_all_named(camera: RtspCameras) -> None:
    describes(*SDP, *["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000"] * 10_000)(camera)
    made = source(camera.url())
    try:
        (said,) = made.open().messages
    finally:
        made.close()
    assert "of its 1000 video tracks that of 160x120 is used" in said and said.endswith(" and 991 more")


@row(
    "an RTSP camera with another password", MISTAKE, "user name or password refused (401)", "the password is not shown"
)
def test_a_wrong_password_is_said_and_not_shown(camera: RtspCameras, capfd: pytest.CaptureFixture[str]) -> None:
    camera.login = "user:right"
    with pytest.raises(UserError, match=r"user name or password refused \(401\)") as raised:
        source(camera.url(login=f"user:{SECRET}")).open()
    assert SECRET not in str(raised.value) and capfd.readouterr() == ("", "")
    made = source(camera.url(login="user:right"))
    assert made.open().size == (160, 120)
    made.close()


def note(made: Source) -> str:
    """What is wrong with it, as whoever captures it asks now and then."""
    if isinstance(made, LiveSource):
        made.look_after()
    return made.status().note


BROKEN = [
    Fault("falls silent", lambda c: c.silent.set(), DONE, "", "the images after it, at once when it sends again"),
    Fault("sends noise as packets from some moment on", lambda c: c.garbled.set(), DONE, "", "the images after it"),
    Fault("sends packets of an unknown kind", lambda c: c.unknown.set(), DONE, "", "the images after it"),
    Fault("breaks off amid an image, again and again", lambda c: c.broken.set(), DONE, "", "the images after it"),
    Fault("changes its size", lambda c: c.show(OTHER), DONE, "instead of 160x120", "images of the first size"),
    Fault("asks for a password from some moment on", lambda c: (setattr(c, "login", "u:p"), c.broken.set()), DONE,
          "user name or password refused (401)", "the images after it"),
]  # fmt: skip


@pytest.mark.parametrize("tapped", [False, True], ids=["read", "captured"])
@pytest.mark.parametrize("fault", BROKEN, ids=str)
@row("an RTSP camera that {fault}")
def test_what_goes_wrong_later_is_said_and_comes_back(fault: Fault, camera: RtspCameras, tapped: bool) -> None:
    made = source(camera.url(), tapped)
    made.open()
    try:
        assert made.read() is not None
        fault.inject(camera)
        wait_until(lambda: note(made) != "" and fault.words in note(made), LIMIT_S)
        for flag in (camera.silent, camera.garbled, camera.unknown, camera.broken):
            flag.clear()
        camera.login = None
        camera.show(UNITS)
        wait_until(lambda: note(made) == "", LIMIT_S)
        frame = made.read()
        assert frame is not None and frame.image.shape == (120, 160, 3) and decode(frame.image) < 30
    finally:
        made.close()
