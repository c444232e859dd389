"""What travels between computers: it comes out as it went in, and what is anything else is refused."""

import random
from dataclasses import replace

import cv2
import numpy as np
import pytest

msgpack = pytest.importorskip("msgpack", reason="needs msgpack, of requirements-cluster.txt")

from engines.types import Detection, ExtraJoints, Seen, Sighting  # noqa: E402
from stream.cluster.jpeg import jpeg_size  # noqa: E402
from stream.cluster.messages import (  # noqa: E402
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
from stream.cluster.wire import MOST_BYTES, VERSION, OtherVersionError, WireError, decode, encode  # noqa: E402


def person(rng, track=0, extra=True):
    a = rng.normal(size=(17, 2, 2))
    cov = (a @ a.transpose(0, 2, 1)).astype(np.float32)
    cov[3] = np.nan
    more = ExtraJoints(("left_heel", "nose"), rng.random((2, 2)).astype(np.float32), np.float32([0, 1]),
                       np.full((2, 2, 2), np.nan, np.float32))  # fmt: skip
    return Sighting(track, Detection(
        rng.uniform(0, 2000, (17, 2)).astype(np.float32), rng.random(17).astype(np.float32), rng.random(17) < 0.5,
        "movenet", cov=cov if extra else None, extra=more if extra else None,
    ))  # fmt: skip


def frame(seed=0, people=2):
    rng = np.random.default_rng(seed)
    seen = Seen("movenet", tuple(person(rng, 7 + k, k % 2 == 0) for k in range(people)), 3)
    return SeenFrame("Miqus 3", 11, 12, 1234.5678901, (1920, 1080), seen)


def same(a, b):
    assert (a.camera, a.seq, a.index, a.t, a.size) == (b.camera, b.seq, b.index, b.t, b.size)
    assert (a.seen.origin, a.seen.left_out, len(a.seen.people)) == (b.seen.origin, b.seen.left_out, len(b.seen.people))
    for one, two in zip(a.seen.people, b.seen.people, strict=True):
        assert one.track == two.track and one.detection.origin == two.detection.origin
        for name in ("xy", "score", "derived", "cov"):
            np.testing.assert_array_equal(getattr(one.detection, name), getattr(two.detection, name))
        assert (one.detection.extra is None) == (two.detection.extra is None)
        if one.detection.extra is not None:
            assert one.detection.extra.names == two.detection.extra.names
            for name in ("xy", "score", "cov"):
                np.testing.assert_array_equal(getattr(one.detection.extra, name), getattr(two.detection.extra, name))


HELLO = Hello("pc-1", "hypothesis-stream 1", True, (Card("left", (640, 480), 29.97, "A1", None, "no new frame"),),
              1.0, 2.0, 3.0, Recording(True, "20260102T030405Z", ""), 7, 5.0)  # fmt: skip
ORDER = Order("pc-0", True, 12.5, (Remark(3, 11.5, "key", "mark"), Remark(9, 12.0, "page", "jump")), Ahead(-3.0, 4e-4))


def jpeg(width=320, height=180, **settings):
    image = np.random.default_rng(0).integers(0, 60, (height, width, 3), np.uint8)
    params = [v for pair in settings.items() for v in (getattr(cv2, f"IMWRITE_JPEG_{pair[0].upper()}"), pair[1])]
    return cv2.imencode(".jpg", image, params)[1].tobytes()


OTHERS = (
    Ask(1.5, "pc-0"), Look("left", -1, 2000), ORDER, Order("pc-0", None, 0.0, (), None),
    Remarks(ORDER.remarks), Remarks(()), Recording(False, "", "the disk is full"),
)  # fmt: skip
PICTURE = Picture("left", 4, (320, 180), jpeg())


def test_what_goes_in_comes_out():
    same(decode(encode(frame()), SeenFrame), frame())
    batch = decode(encode(Batch((frame(1), frame(2, 0)), True)), Batch)
    same(batch.frames[0], frame(1))
    same(batch.frames[1], frame(2, 0))
    assert batch.over and decode(encode(HELLO), Hello) == HELLO
    kept = replace(HELLO, system=(1.7e9, 0.002))
    assert decode(encode(kept), Hello) == kept
    assert decode(encode(Pull(-1, 64)), Pull) == Pull(-1, 64)
    for message in OTHERS:
        assert decode(encode(message), type(message)) == message
    got = decode(encode(PICTURE), Picture)
    assert (got.camera, got.seq, got.size, got.jpeg) == ("left", 4, (320, 180), PICTURE.jpeg)


def test_texts_are_cut_and_never_refused_by_whoever_gets_them():
    long = Order("pc-0", None, 0.0, (Remark(0, 0.0, "s" * 900, "t" * 900),), None)
    (remark,) = decode(encode(long), Order).remarks
    assert len(remark.source) == 200 and len(remark.text) == 500


def test_a_picture_is_a_small_plain_jpeg_or_nothing():
    assert jpeg_size(PICTURE.jpeg) == (320, 180) and jpeg_size(jpeg(7, 5)) == (7, 5)
    data = PICTURE.jpeg
    grey = cv2.imencode(".jpg", np.zeros((180, 320), np.uint8))[1].tobytes()
    exif = data[:2] + b"\xff\xe1\x00\x08Exif\0\0" + data[2:]
    large = jpeg(1000, 20)
    for other in (
        b"", data[:-2], data[:200], b"\x89PNG" + data, grey, exif, jpeg(progressive=1), data[:3],
        data.replace(b"\xff\xc0", b"\xff\xc1", 1), data[:2] + b"\xff\xdb\x00\x01" + data[2:],
    ):  # fmt: skip
        assert jpeg_size(other) is None
        with pytest.raises(WireError):
            decode(encode(Picture("left", 4, (320, 180), other)), Picture)
    wrong = (Picture("left", 4, (180, 320), data), Picture("left", 4, (1000, 20), large),
             Picture("left", 4, (320, 180), data[:-2] + bytes(96 << 10) + data[-2:]))  # fmt: skip
    for picture in wrong:
        with pytest.raises(WireError):
            decode(encode(picture), Picture)


def test_a_person_takes_about_a_kilobyte():
    one, two = (len(encode(frame(people=people))) for people in (1, 2))
    assert 200 < two - one < 400 < one < 1000, (one, two)  # without and with covariances and extra joints


def test_another_version_is_named_and_another_kind_refused():
    data = bytearray(encode(frame()))
    data[3] = VERSION + 6
    with pytest.raises(OtherVersionError, match=f"version {VERSION + 6}, this program {VERSION}"):
        decode(bytes(data), SeenFrame)
    with pytest.raises(WireError, match="another kind"):
        decode(encode(HELLO), SeenFrame)


def wrong_frames():
    """Each field of a frame as it may not be."""
    good = msgpack.unpackb(encode(frame())[5:])
    for k, values in {
        0: (None, 3, "a" * 300, "a\n", b"left"), 1: (-1, 1.0, True, 1 << 60), 2: (-1, "1"), 3: (float("nan"), "1"),
        4: (0, 70000, 1.5), 6: (5, None), 7: (-1, 1 << 40), 8: (None, {}, [[]] * 101, [1], "x"),
    }.items():  # fmt: skip
        for value in values:
            yield [*good[:k], value, *good[k + 1 :]]
    yield good[:-1]
    yield [*good, 1]
    person = good[8][0]
    nan, huge = np.full((17, 2), np.nan, "<f4").tobytes(), np.full((17, 2), 1e9, "<f4").tobytes()
    for k, values in {
        0: (-1, "0", 1 << 50), 1: (3,), 2: (b"", nan, huge, "x" * 136, None), 3: (np.full(17, 2, "<f4").tobytes(),),
        4: (1 << 17, -1, None), 5: (b"", np.full((17, 2, 2), -1, "<f4").tobytes(), 5),
        6: ([], [["a", "a"], b"", b"", b""], [["a"] * 2, bytes(16), bytes(8), bytes(32)], "x"),
    }.items():  # fmt: skip
        for value in values:
            yield [*good[:8], [[*person[:k], value, *person[k + 1 :]]]]
    yield [*good[:8], [person, person]]  # one track twice


@pytest.mark.parametrize("fields", list(wrong_frames()))
def test_each_field_is_held_to_its_bounds(fields):
    with pytest.raises(WireError):
        decode(b"HSN" + bytes([VERSION, 1]) + msgpack.packb(fields), SeenFrame)


def wrong_orders():
    """Each field of an order as it may not be."""
    good = msgpack.unpackb(encode(ORDER)[5:])
    remark = good[3][0]
    for k, values in {
        0: (None, "a\n", "a" * 201), 1: (1, "on"), 2: (None, float("inf")), 4: ([1.0], [1.0, -1.0], ["1", 0.0], 3.0),
        3: (None, [remark] * 65, [remark, remark], [good[3][1], remark], [[*remark, 1]], [[-1, *remark[1:]]],
            [[*remark[:3], "t" * 501]], [[*remark[:2], "s\0", "t"]]),
    }.items():  # fmt: skip
        for value in values:
            yield [*good[:k], value, *good[k + 1 :]]
    yield good[:-1]


@pytest.mark.parametrize("fields", list(wrong_orders()))
def test_each_field_of_an_order_is_held_to_its_bounds(fields):
    with pytest.raises(WireError):
        decode(b"HSN" + bytes([VERSION, 7]) + msgpack.packb(fields), Order)


def test_whatever_comes_nothing_foreign_is_raised():
    rng = random.Random(0)
    messages = (frame(), HELLO, Pull(5, 1), Batch((frame(),), False), *OTHERS, PICTURE)
    whole, kinds = [encode(m) for m in messages], [type(m) for m in messages]
    refused = 0
    for turn in range(6000):
        data, kind = bytearray(whole[turn % len(whole)]), kinds[turn % len(whole)]
        for _ in range(rng.randrange(1, 6)):
            how, at = rng.randrange(4), rng.randrange(4, len(data)) if len(data) > 4 else 0
            if how == 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            elif how == 1:
                del data[at : at + rng.randrange(1, 9)]
            elif how == 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            else:
                data[at:at] = msgpack.packb(rng.choice([None, [], {}, 1 << 63, -1, 1e308, "x", msgpack.Timestamp(1)]))
        try:
            decode(bytes(data), kind)
        except WireError:
            refused += 1
    assert refused > 3000
    nested = b"HSN" + bytes([VERSION, 1]) + b"\x91" * 5000
    for data in (b"", b"HSN", b"\x80\x04K\x01.", nested, bytes(MOST_BYTES + 1), rng.randbytes(1000)):
        with pytest.raises(WireError):
            decode(data, SeenFrame)
