"""What a web server really gives where FFmpeg only says that it is no video: asked once more, and named."""

import base64
import http.client
import re
import ssl
import time
import urllib.request
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import av
import av.error

_MOST_BYTES = 1 << 18
MOST_PICTURE = 1 << 26
"""Bytes of one picture."""
_JPEG = b"\xff\xd8\xff"
_PART_TYPE = re.compile(rb"content-type:\s*([\w./+-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The beginning of what an address gives."""

    type: str
    """Media type by the server's header, such as "text/html"; empty where it says none."""
    body: bytes
    """What came first."""
    whole: bool
    """Whether the server ended it."""


def ask(url: str, seconds: float, most: int = 0) -> Answer | None:
    """Get the beginning of an address, for at most about so many seconds; None where it cannot be had.

    Args:
        url: the address.
        seconds: for how long, about.
        most: bytes that are read, whatever they are; 0 for as many as it takes to tell what it is.
    """
    end = time.monotonic() + seconds
    try:
        with _opener(url).open(_request(url), timeout=seconds) as response:
            if response.status != http.client.OK:
                return None
            kind = response.headers.get_content_type() if response.headers["Content-Type"] else ""
            return Answer(kind, *_read(response, end, most))
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _request(url: str) -> urllib.request.Request:
    """A request for an address without the login in it, which is sent as Basic at first, and to no other server."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    place = host if parts.port is None else f"{host}:{parts.port}"
    request = urllib.request.Request(parts._replace(netloc=place).geturl(), headers={"Accept": "*/*"})
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    return request


def _opener(url: str) -> urllib.request.OpenerDirector:
    """What follows a server to another address of the web, and logs in as it asks for (Digest, of most cameras)."""
    # FFmpeg, which has just been given the same address, does not verify cameras' own certificates either.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    parts, passwords = urlsplit(url), urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        login = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(None, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", *login)
    # Not urllib's usual ones, which open files and FTP, too.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPRedirectHandler(), urllib.request.HTTPDigestAuthHandler(passwords),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


def _read(response: http.client.HTTPResponse, end: float, most: int) -> tuple[bytes, bool]:
    """What comes until there is enough or it is too late, and whether that is all."""
    body = bytearray()
    while len(body) < (most or _MOST_BYTES) and time.monotonic() < end:
        try:
            more = response.read1(1 << 16)
        except (OSError, http.client.HTTPException):
            break
        if not more:
            return bytes(body), True
        body += more
        if not most and (body.count(_JPEG) > 2 or body.lstrip().startswith((b"<", b"#"))):
            break
    return bytes(body), response.length == 0


def is_picture(answer: Answer) -> bool:
    """Whether it is one whole picture: an address to be asked again for the next one."""
    known = answer.body.startswith((_JPEG, b"\x89PNG", b"BM")) or answer.body[8:12] == b"WEBP"
    return answer.whole and known and not answer.type.startswith("multipart/")


def is_playlist(answer: Answer) -> bool:
    """Whether it is an HLS playlist."""
    return answer.body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"#EXTM3U")


def is_motion_jpeg(answer: Answer) -> bool:
    """Whether there are JPEG images in it, however they are wrapped: FFmpeg finds them when it ignores the wrapping."""
    parts = answer.body.split(_JPEG)
    wrapped = answer.type.startswith("multipart/") or answer.body.startswith(b"--")
    if len(parts) < 3 or not (wrapped or not parts[0]):
        return False
    try:
        frames = av.VideoCodecContext.create("mjpeg", "r").decode(av.Packet(_JPEG + parts[1]))
    except av.error.FFmpegError:
        return False
    return any(not frame.is_corrupt for frame in frames)


def name(answer: Answer) -> str:
    """What it is, and what to give instead, in a few words."""
    start = answer.body[:2000].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if not answer.body:
        return "it answers, and sends nothing"
    if start.startswith(b"#extm3u") or "mpegurl" in answer.type:
        return "it is a playlist (HLS) of which nothing can be played"
    if b"<mpd" in start or answer.type == "application/dash+xml":
        return "it is a playlist (DASH), which is not read here: it is seconds late; give an RTSP or MJPEG address"
    if start.startswith(b"<!doctype html") or b"<html" in start or answer.type == "text/html":
        return "it is a web page, no video; open it in a browser to find the address of the camera's stream"
    if answer.body[4:8] == b"ftyp":
        return (
            "it is an MP4 file that cannot be read from this server (its index is at the end, or missing); "
            "download it and give the file"
        )
    if answer.body.startswith(_JPEG):
        return "it is one picture that cannot be decoded"
    if answer.type.startswith("multipart/"):
        types = {kind.decode() for kind in _PART_TYPE.findall(answer.body)}
        if types and not any(kind.startswith("image/") for kind in types):
            return f"its parts are {', '.join(sorted(types))}, not images"
        if types and not any(kind in ("image/jpeg", "image/jpg") for kind in types):
            return f"its parts are {', '.join(sorted(types))}; set the camera to JPEG"
        return "its parts hold no JPEG image that can be decoded"
    if answer.type.startswith("text/") or answer.type in ("application/json", "application/xml"):
        return f"it is text ({answer.type}), no video"
    return f"it sends{f' {answer.type}' if answer.type else ''}, but no image comes of it"
