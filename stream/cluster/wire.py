"""The messages between computers: a fixed schema in MessagePack. What does not fit it in every part is refused.

A message begins with ``HSN``, the version, and its kind. Arrays are bytes of a fixed length, little-endian float32.
Nothing that comes can make this raise anything but ``WireError``, run code, or take more memory than it has bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

import numpy as np

from calibration.arrays import Array
from engines.types import Detection, ExtraJoints, Seen, Sighting
from stream.cluster import fields
from stream.cluster.fields import MOST_TEXT, WireError
from stream.cluster.jpeg import jpeg_size
from stream.cluster.messages import (
    Ahead,
    Ask,
    Batch,
    Card,
    Hello,
    Look,
    Order,
    Picture,
    Pull,
    Recording,
    Remark,
    Remarks,
    SeenFrame,
)

VERSION: Final = 2
MOST_BYTES: Final = 256 << 10
"""Of one message; a person takes about 0.7 kB, 1.5 kB with feet, hands and face."""
MOST_BATCH: Final = 64
"""Frames that are handed over at once."""
MOST_REMARKS: Final = 64
"""Events that are handed over at once."""
MOST_REMARK: Final = 500
"""Characters of one."""
MOST_PICTURE: Final = 640
"""Pixels of the longer side of a picture."""
MOST_FPS: Final = 15.0
"""Pictures a second of one camera."""
MOST_JPEG: Final = 96 << 10
"""Bytes of a picture."""
_MAGIC: Final = b"HSN"
_MOST_PEOPLE, _MOST_EXTRA, _MOST_CAMERAS = 100, 300, 64

T = TypeVar("T")


class OtherVersionError(WireError):
    """It is one of another version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it speaks version {version}, this program {VERSION}")
        self.version = version


Message = SeenFrame | Hello | Pull | Batch | Ask | Order | Recording | Remarks | Look | Picture


def encode(message: Message) -> bytes:
    """A message as bytes."""
    from msgpack import packb

    kind = next(one for one in _KINDS.values() if isinstance(message, one.of))
    return _MAGIC + bytes((VERSION, kind.number)) + (packb(kind.write(message)) or b"")


def decode(data: bytes, of: type[T]) -> T:
    """A message of a kind.

    Raises:
        OtherVersionError: if it is of another version.
        WireError: for everything else that is not exactly such a message.
    """
    from msgpack import UnpackException, unpackb

    if len(data) > (MOST_BYTES * (MOST_BATCH if of is Batch else 1)) or data[:3] != _MAGIC or len(data) < 5:
        raise WireError("no message of this program")
    if data[3] != VERSION:
        raise OtherVersionError(data[3])
    kind = _KINDS[of]
    if data[4] != kind.number:
        raise WireError("a message of another kind")
    try:
        unpacked = unpackb(data[5:], strict_map_key=True, max_map_len=0, max_ext_len=0, max_array_len=_MOST_EXTRA)
    except (ValueError, TypeError, OverflowError, UnpackException) as error:
        raise WireError(f"no MessagePack ({type(error).__name__})") from None
    return kind.read(unpacked)


# writing


def _frame_fields(frame: SeenFrame) -> list[Any]:
    people = [[s.track, *_detection_fields(s.detection)] for s in frame.seen.people]
    seen = frame.seen
    return [frame.camera, frame.seq, frame.index, float(frame.t), *frame.size, seen.origin, seen.left_out, people]


def _detection_fields(found: Detection) -> list[Any]:
    derived = sum(1 << k for k in np.flatnonzero(found.derived).tolist())
    extra = found.extra
    more = None if extra is None else [list(extra.names), *map(_bytes, (extra.xy, extra.score, extra.cov))]
    cov = None if found.cov is None else _bytes(found.cov)
    return [found.origin, _bytes(found.xy), _bytes(found.score), derived, cov, more]


def _bytes(values: Array) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()


def _hello_fields(hello: Hello) -> list[Any]:
    cards = [[c.name, *c.size, c.fps, c.serial, c.frames, c.note[:MOST_TEXT]] for c in hello.cards]
    recording = _recording_fields(hello.recording)
    times = [float(hello.sent), float(hello.received), float(hello.answered)]
    system = None if hello.system is None else list(hello.system)
    return [hello.node, hello.software, hello.live, cards, *times, recording, hello.remarks, hello.picture_fps, system]


def _recording_fields(recording: Recording) -> list[Any]:
    return [recording.on, recording.take[:MOST_TEXT], recording.why[:MOST_TEXT], recording.refuses]


def _remark_fields(remarks: Sequence[Remark]) -> list[Any]:
    return [[r.number, float(r.t), r.source[:MOST_TEXT], r.text[:MOST_REMARK]] for r in remarks]


def _order_fields(order: Order) -> list[Any]:
    ahead = None if order.ahead is None else [float(order.ahead.seconds), float(order.ahead.within)]
    return [order.who, order.record, float(order.at), _remark_fields(order.remarks), ahead]


# reading


def _frame(value: object) -> SeenFrame:
    camera, seq, index, t, width, height, origin, left_out, people = fields.parts(value, 9)
    sightings = tuple(map(_sighting, fields.items(people, _MOST_PEOPLE)))
    if len({one.track for one in sightings}) != len(sightings):
        raise WireError("one track twice")
    return SeenFrame(
        fields.text(camera),
        fields.whole(seq),
        fields.whole(index),
        fields.number(t),
        _size(width, height),
        Seen(fields.text(origin), sightings, fields.whole(left_out, most=10_000)),
    )


def _size(width: object, height: object) -> tuple[int, int]:
    return fields.whole(width, 1, 65535), fields.whole(height, 1, 65535)


def _sighting(value: object) -> Sighting:
    track, origin, xy, score, derived, cov, extra = fields.parts(value, 7)
    bits = fields.whole(derived, most=(1 << 17) - 1)
    found = Detection(
        fields.places(xy, 17),
        fields.scores(score, 17),
        np.array([bool(bits >> k & 1) for k in range(17)]),
        fields.text(origin),
        cov=fields.or_none(cov, lambda c: fields.covariances(c, 17)),
        extra=fields.or_none(extra, _extra),
    )
    return Sighting(fields.whole(track, most=1 << 40), found)


def _extra(value: object) -> ExtraJoints:
    names, xy, score, cov = fields.parts(value, 4)
    called = tuple(fields.text(name) for name in fields.items(names, _MOST_EXTRA))
    if len(set(called)) != len(called):
        raise WireError("one joint twice")
    n = len(called)
    return ExtraJoints(called, fields.places(xy, n), fields.scores(score, n), fields.covariances(cov, n))


def _card(value: object) -> Card:
    name, width, height, fps, serial, frames, note = fields.parts(value, 7)
    rate = fields.or_none(fps, lambda f: fields.number(f, 1e-3, 1e5))
    return Card(
        fields.text(name),
        _size(width, height),
        rate,
        fields.or_none(serial, fields.text),
        fields.or_none(frames, fields.whole),
        fields.text(note),
    )


def _hello(value: object) -> Hello:
    node, software, live, cards, sent, received, answered, recording, remarks, fps, system = fields.parts(value, 11)
    known = tuple(map(_card, fields.items(cards, _MOST_CAMERAS)))
    if len({card.name for card in known}) != len(known):
        raise WireError("one camera twice")
    return Hello(
        fields.text(node),
        fields.text(software),
        fields.flag(live),
        known,
        fields.number(sent),
        fields.number(received),
        fields.number(answered),
        _recording(recording),
        fields.whole(remarks),
        fields.number(fps, 0.0, MOST_FPS),
        fields.or_none(system, _system),
    )


def _system(value: object) -> tuple[float, float]:
    ahead, within = fields.parts(value, 2)
    return fields.number(ahead), fields.number(within, 0.0)


def _ask(value: object) -> Ask:
    sent, who = fields.parts(value, 2)
    return Ask(fields.number(sent), fields.text(who))


def _recording(value: object) -> Recording:
    on, take, why, refuses = fields.parts(value, 4)
    return Recording(fields.flag(on), fields.text(take), fields.text(why), fields.flag(refuses))


def _remarks(value: object) -> tuple[Remark, ...]:
    found = []
    for item in fields.items(value, MOST_REMARKS):
        number, t, source, text = fields.parts(item, 4)
        found.append(
            Remark(fields.whole(number), fields.number(t), fields.text(source), fields.text(text, MOST_REMARK))
        )
    if any(b.number <= a.number for a, b in pairwise(found)):
        raise WireError("events out of order")
    return tuple(found)


def _ahead(value: object) -> Ahead:
    seconds, within = fields.parts(value, 2)
    return Ahead(fields.number(seconds), fields.number(within, 0.0))


def _order(value: object) -> Order:
    who, record, at, remarks, ahead = fields.parts(value, 5)
    return Order(
        fields.text(who),
        fields.or_none(record, fields.flag),
        fields.number(at),
        _remarks(remarks),
        fields.or_none(ahead, _ahead),
    )


def _look(value: object) -> Look:
    camera, after, most = fields.parts(value, 3)
    return Look(fields.text(camera), fields.whole(after, -1), fields.whole(most, most=MOST_JPEG))


def _picture(value: object) -> Picture:
    camera, seq, width, height, jpeg = fields.parts(value, 5)
    if not isinstance(jpeg, bytes) or len(jpeg) > MOST_JPEG:
        raise WireError("no picture in its bounds")
    size = fields.whole(width, 1, MOST_PICTURE), fields.whole(height, 1, MOST_PICTURE)
    if jpeg_size(jpeg) != size:
        raise WireError("no JPEG of its size")
    return Picture(fields.text(camera), fields.whole(seq), size, jpeg)


def _pull(value: object) -> Pull:
    after, most = fields.parts(value, 2)
    return Pull(fields.whole(after, -1), fields.whole(most, most=MOST_BATCH))


def _batch(value: object) -> Batch:
    frames, over = fields.parts(value, 2)
    return Batch(tuple(map(_frame, fields.items(frames, MOST_BATCH))), fields.flag(over))


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of message is written and read."""

    of: type
    number: int
    write: Callable[[Any], Any]
    """Its fields."""
    read: Callable[[object], Any]
    """The message, of its fields."""


_KINDS: Final[dict[type, _Kind]] = {
    one.of: one
    for one in (
        _Kind(SeenFrame, 1, _frame_fields, _frame),
        _Kind(Hello, 2, _hello_fields, _hello),
        _Kind(Pull, 3, lambda pull: [pull.after, pull.most], _pull),
        _Kind(Batch, 4, lambda batch: [list(map(_frame_fields, batch.frames)), batch.over], _batch),
        _Kind(Ask, 6, lambda ask: [float(ask.sent), ask.who], _ask),
        _Kind(Order, 7, _order_fields, _order),
        _Kind(Recording, 8, _recording_fields, _recording),
        _Kind(
            Remarks,
            9,
            lambda told: [_remark_fields(told.remarks)],
            lambda value: Remarks(_remarks(*fields.parts(value, 1))),
        ),
        _Kind(Picture, 10, lambda p: [p.camera, p.seq, *p.size, p.jpeg], _picture),
        _Kind(Look, 11, lambda look: [look.camera, look.after, look.most], _look),
    )
}
