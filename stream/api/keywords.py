"""Keywords of the Python interface to a Config: they are the flags of the program, so they mean and refuse the same."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time
from numbers import Real
from os import PathLike
from typing import Any, Final, NoReturn, TypedDict

import numpy as np

from calibration.types import Calibration
from engines.argument_types import Parser
from stream.app.command_line import config_of
from stream.app.config_file import merged
from stream.app.flags import REPEATED, parser
from stream.config import Config
from stream.types import StreamError

_OF_THE_PROGRAM: Final = {
    "camera": "give sources as the first arguments",
    "quiet": "nothing is printed here: the logger 'stream' tells what a run has to say",
    "verbose": "give the logger 'stream' a level and a handler",
    "log_file": "give the logger 'stream' a logging.FileHandler",
    "list_cameras": "stream.list_cameras() lists them",
    "from": 'give each of its cameras as a source, "node:GROUP/CAMERA"',
    "make_keys": "hypothesis-stream --make-keys makes them",
    "print_config": "hypothesis-stream --print-config prints it",
    "help": "help(stream.Flags) lists them",
    "version": "stream.__version__ says it",
}
"""Flags that are no keywords, and what does the same here."""


class Flags(TypedDict, total=False):
    """The keywords of ``open_stream`` and ``Estimator``: the flags of the program, with ``_`` for ``-``.

    ``hypothesis-stream --help`` has a line on each, and the fields of a sink that was registered are keywords too. A
    flag that takes several values takes a list here, one of ``NAME=VALUE`` also a mapping.
    """

    size: tuple[int, int] | str
    """Width and height to ask a local camera for."""
    fps: float
    """Rate to ask a local camera for; rate of a folder of images."""
    realtime: bool
    """Play files at their own pace, dropping what comes late."""
    control: Mapping[str, str | float] | Sequence[str] | str
    """Settings of local cameras, ``[CAMERA:]NAME=VALUE``, as ``--list-cameras`` lists them."""
    from_take: str | PathLike[str]
    """Every camera of a take, as it was captured."""
    capture: str | PathLike[str]
    """A folder; every frame of live cameras goes into a take in it, while what the machine manages is estimated."""
    live: bool
    """True goes without saying with ``capture``: estimates are what one iterates over."""
    capture_codec: str
    """"h264", "mjpeg" or "ffv1": what codes the images of cameras that do not themselves."""
    start_at: datetime | str
    """A time of day at which ``record`` and ``capture`` begin."""
    countdown: int
    """Seconds to wait before they begin; the logger ``stream`` counts them."""
    seconds: float
    """It ends so long after that by itself."""
    detections: str | PathLike[str]
    """A folder of 2D joints that another program has found, in place of images."""
    demo: bool | str
    """A real video, fetched once: True or "single", or "multi" or "people"."""
    fov: float
    """Degrees along the long side of the image, where nothing is calibrated."""
    calibration: str | PathLike[str] | Calibration
    """A calibration, or its file in any format that is read."""
    up: Sequence[float] | str
    """(3,) against gravity in the calibration's world."""
    letterbox: Sequence[str]
    """``[NAME=]SCALE,DX,DY`` or ``[NAME=]fit``: how the calibrated picture lies in frames of another shape."""
    bind: str
    """"auto", or "order": cameras without a name are those of the calibration in their order."""
    fusion: str
    """"auto", "map", "hypotheses" or "triangulate"."""
    sync_offset: Mapping[str, float] | Sequence[str]
    """Seconds added to the times of a camera, by its name."""
    times: str | PathLike[str]
    """A table of the times of every frame of videos: sync_index, camera, time."""
    speed: Mapping[str, float] | Sequence[str] | float
    """How many times slower than life files play, of all or by the camera's name."""
    rotate: Mapping[str, int] | Sequence[str] | int
    """Degrees clockwise by which pictures are turned, of all cameras or by the camera's name."""
    sync_delay: int
    """1: live, too, 2D joints are interpolated to one time."""
    detector: str | Sequence[str]
    """"auto", or the fallback order by names."""
    weights: str | PathLike[str]
    """Another lifter, with its card beside it."""
    temporal: str | PathLike[str]
    """"on": what was seen before makes hypotheses steadier; "off"; or the file of another network for it."""
    runtime: str
    """"auto" or the name of a runtime."""
    precision: str
    """"auto", "fp32" or "int8"."""
    people: int | str
    """How many people are followed, or "all"."""
    max_people: int
    """Of all, at most so many at a time."""
    select: str
    """Whom the results show of those who are followed: "largest", "central" or "all"."""
    view: str
    """"window" or another viewer, which shows what is iterated over; none unless it is given."""
    record: str | PathLike[str]
    """A folder; every take gets a folder in it."""
    record_video: bool
    """Record the cameras' frames beside the hypotheses."""
    video_out: str | PathLike[str]
    """A video of what the window would show."""
    still_out: str | PathLike[str]
    """A picture of the last moment."""
    viewpoint: Sequence[float] | str
    """Degrees to the right and up from which pictures are seen at first, and a zoom if there is a third."""
    mirror: bool
    """Pictures are mirrored, as for a selfie."""
    hold: bool
    """The window keeps the last picture of files until the user closes it."""
    force: bool
    """``video_out`` and ``still_out`` may take the place of files that are there."""
    hypotheses: bool
    """Live outputs carry all hypotheses, and not only the answer."""
    osc: str | int | bool
    """``[HOST:]PORT`` that gets avatars and joints by Open Sound Control; True for 39539."""
    osc_in: str | int
    """``[HOST:]PORT`` on which events and commands are taken by Open Sound Control."""
    lsl: str | bool
    """What Lab Streaming Layer streams are called with joints and events; True for hypothesis-stream."""
    lsl_in: str
    """A Lab Streaming Layer stream whose markers are taken as events."""
    lsl_address: str
    """This machine's address in the network where those are announced; only to itself when not given."""
    ros2: str | bool
    """The interface in whose network people are published to ROS 2; True for this machine alone."""
    publish: str
    """``GROUP[@HOST[:PORT]]`` to which what the cameras see is published, for another computer that fuses."""
    publish_images: str
    """How often and how large whoever fuses may ask for pictures, such as ``5fps,320px``."""
    keys: str | PathLike[str]
    """The folder of the keys of a group beyond this computer."""
    clock: str
    """"messages", or "system": the clocks of the computers of a group are kept by PTP or NTP, which messages check."""
    udp: str | int
    """``[HOST:]PORT`` that gets every moment as JSON in a datagram."""
    websocket: str | int | bool
    """``[HOST:]PORT`` on which every moment is served to WebSockets; True for 8765."""
    websocket_origin: str | Sequence[str]
    """Web pages elsewhere that may connect to it."""
    web: str | int | bool
    """``[HOST:]PORT`` on which a page in the browser is served; True for 8080. Its link is printed."""
    config: str | PathLike[str]
    """A file with flags and thresholds; keywords win."""


class _Keywords(Parser):
    """Raises what a command line would leave with, in terms of keywords."""

    def error(self, message: str) -> NoReturn:
        said = re.sub(r"(?:argument )?--([a-z-]+)", lambda flag: flag[1].replace("-", "_"), message)
        raise StreamError(f"{self.about}{said}")


def config(sources: Iterable[object], keywords: Mapping[str, Any], *, needed: bool = True) -> Config:
    """The Config of sources and keywords.

    Args:
        sources: each as ``--camera`` takes it; a number or a path will do.
        keywords: as ``Flags``; None is as if it were not given.
        needed: whether there must be a source.

    Raises:
        StreamError: for keywords that there are not, and whatever else cannot be right.
    """
    given = {key: value for key, value in keywords.items() if value is not None}
    known = vars(parser().parse_args([]))
    switches = {key for key, default in known.items() if default is False}
    for key in given:
        if key in _OF_THE_PROGRAM:
            raise StreamError(f"{key} is no keyword: {_OF_THE_PROGRAM[key]}")
        if key not in known and key != "config":
            near = difflib.get_close_matches(key, known, 1, 0.5)
            raise StreamError(f"there is no keyword {key!r}" + (f"; did you mean {near[0]}?" if near else ""))
    calibration = given.pop("calibration", None)
    if calibration is not None and not isinstance(calibration, str | PathLike | Calibration):
        raise StreamError(f"calibration is {type(calibration).__name__}; give a file or a stream.Calibration")
    words = [f"--camera={_text('source', source)}" for source in sources]
    words += [word for key, value in ({"view": "none"} | given).items() for word in _words(key, value, switches)]
    if calibration is not None:
        # For what the flags refuse together with it; the calibration itself takes its place below.
        words += _words("calibration", "given" if isinstance(calibration, Calibration) else calibration)
    args = merged(lambda about: parser(about, _Keywords), words)
    if args.capture is not None and given.get("live") is False:
        raise StreamError(
            "capture without live makes no estimates to iterate over; hypothesis-stream --capture does it"
        )
    args.live = args.live or args.capture is not None
    made = config_of(args, sources=needed, demo_files=False)
    # The line of the terminal is the program's.
    outputs = tuple(o for o in made.output.sinks if getattr(o, "name", str)() != "terminal")
    made = replace(made, output=replace(made.output, sinks=outputs))
    if isinstance(calibration, Calibration):
        made = replace(made, setup=replace(made.setup, calibration=calibration))
    return made


def _words(key: str, value: Any, switches: Collection[str] = ()) -> Iterator[str]:
    """The flag as on the command line."""
    flag = "--" + key.replace("_", "-")
    if key in switches and not isinstance(value, bool):
        raise StreamError(f"{key} is {value!r}; give True or False")
    if value is True:
        yield flag
    elif value is False:
        return
    elif key in REPEATED:
        single = isinstance(value, str) or not isinstance(value, Iterable)
        each = value.items() if isinstance(value, Mapping) else [value] if single else value
        for one in each:
            yield f"{flag}={'='.join(_text(key, part) for part in (one if isinstance(one, tuple) else (one,)))}"
    elif isinstance(value, str) or not isinstance(value, Iterable):
        yield f"{flag}={_text(key, value)}"
    else:
        yield f"{flag}={('x' if key == 'size' else ',').join(_text(key, part) for part in value)}"


def _text(key: str, value: object) -> str:
    if isinstance(value, str | PathLike):
        return str(value)
    if isinstance(value, datetime | time):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, Real | np.generic):
        raise StreamError(f"{key}: {value!r} is {type(value).__name__}; give text, a path or a number")
    item = getattr(value, "item", None)
    return repr(value if item is None else item())  # a number, also one of NumPy's
