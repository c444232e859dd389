"""Pictures of videos that are not as a screen shows them: interlaced, high dynamic range, other colours and depths."""

import struct

import av
import numpy as np
import pytest

from stream.sources import container_lines
from stream.sources._upright import _GAMMA, _WHITE_NITS
from tests.media import walker_frames
from tests.reading import SIZE, file_source, opened, read_all
from tests.servers import coded, decode, write_video

FIELDS = 40
STEP = 3
"""Pixels that the square moves from field to field."""


def moment(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    image[30:90, 10 + STEP * number : 26 + STEP * number] = 230
    return image


def write_interlaced(path, codec, options, size=SIZE, pixels="yuv420p"):
    """The lower field first, as FFmpeg's encoders mark what comes without a mark."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for number in range(FIELDS // 2):
            bottom, top = moment(2 * number, size), moment(2 * number + 1, size)
            top[1::2] = bottom[1::2]
            frame = av.VideoFrame.from_ndarray(top, format="bgr24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


X264 = {"preset": "veryfast", "crf": "12", "threads": "1"}


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx264", {**X264, "x264-params": "bff=1"}),
        ("mov", "libx264", {**X264, "x264-params": "bff=1:bframes=3"}),
        ("ts", "libx264", {**X264, "x264-params": "bff=1"}),
        ("avi", "libx264", {**X264, "x264-params": "bff=1:bframes=3"}),
        ("mkv", "mpeg2video", {"flags": "+ildct+ilme", "qscale": "2", "bf": "2"}),
    ],
)
def test_each_field_is_a_moment(suffix, codec, options, tmp_path):
    source = file_source(write_interlaced(tmp_path / f"a.{suffix}", codec, options))
    info = source.open()
    frames, status = read_all(source), source.status()
    source.close()
    assert info.frames is not None and abs(info.frames - FIELDS) <= 4
    assert info.fps == pytest.approx(50) and len(frames) == FIELDS
    assert "interlaced; each of its images is taken as two, its fields, 50 a second" in info.messages[0]
    assert np.allclose(np.diff([frame.t for frame in frames]), 0.02, atol=1e-3)
    centres = [np.nonzero(frame.image[60, :, 1] > 150)[0].mean() for frame in frames]
    assert np.allclose(np.diff(centres), STEP, atol=1.1), "every moment has moved on"
    assert [frame.index for frame in frames] == list(range(FIELDS)) and (status.corrupt, status.note) == (0, "")
    edges = [np.abs(np.diff(frame.image[40:80, :, 1].astype(int), axis=0)).max() for frame in frames[2:-2]]
    assert np.median(edges) < 60, "no comb"


def test_raw_dv_has_the_rate_of_its_images_and_not_of_its_clock(tmp_path):
    source = file_source(write_interlaced(tmp_path / "a.dv", "dvvideo", {}, (720, 576)))
    info = source.open()
    frames = read_all(source)
    source.close()
    assert info.fps == pytest.approx(50) and info.frames == len(frames) == FIELDS
    assert np.allclose(np.diff([frame.t for frame in frames]), 0.02, atol=1e-3)


def pq(nits):
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = (nits / 1e4) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def hlg(nits):
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = (nits / 1e3) ** (1 / 1.2)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


SIGNAL = {"pq": (pq, 16), "hlg": (hlg, 18)}


def write_hdr(path, kind, images):
    """An SDR original as HDR shows it: its white at 203 nits. Its colours are not converted, as they are not in use."""
    signal, transfer = SIGNAL[kind]
    table = np.round(signal((np.arange(256) / 255) ** _GAMMA * _WHITE_NITS) * 65535).astype(np.uint16)
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=1"}
        stream = out.add_stream("libx265", rate=30, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p10le"
        codec = stream.codec_context
        codec.color_trc, codec.color_primaries, codec.colorspace, codec.color_range = transfer, 9, 9, 1
        for number, image in enumerate(images):
            deep = table[np.ascontiguousarray(image[..., ::-1])]
            frame = av.VideoFrame.from_ndarray(deep, format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", SIGNAL)
def test_high_dynamic_range_looks_as_its_original(kind, tmp_path):
    ramp = np.repeat(np.linspace(0, 255, SIZE[0]).astype(np.uint8)[None, :, None], SIZE[1], 0).repeat(3, 2)
    with opened(file_source(write_hdr(tmp_path / "a.mp4", kind, [ramp, coded(5)]))) as source:
        frames = read_all(source)
        assert source._info.messages == ()
    seen = frames[0].image[60, :, 1].astype(int)
    assert np.abs(seen - ramp[60, :, 1]).max() < 22 and np.abs(seen - ramp[60, :, 1]).mean() < 6
    assert (np.diff(seen) >= -2).all()
    assert decode(frames[1].image) == 5
    track = list(container_lines(tmp_path / "a.mp4"))[1]
    assert f"high dynamic range ({kind.upper()}), tone-mapped" in track


@pytest.mark.video
@pytest.mark.parametrize("kind", SIGNAL)
def test_people_in_high_dynamic_range_are_found_where_they_are_in_the_original(kind, tmp_path):
    from engines.detectors import DetectorOptions, load
    from engines.runtimes import NetworkOptions

    images = walker_frames([100])
    with opened(file_source(write_hdr(tmp_path / "a.mp4", kind, images))) as source:
        frames = read_all(source)
    # Not what this machine is measured to be fastest with, which changes with what else it does.
    detector = load("movenet-lightning", DetectorOptions(NetworkOptions("onnx", "fp32")))
    for frame, image in zip(frames, images, strict=True):
        mapped, original = detector.session()(frame.image, 0.0), detector.session()(image, 0.0)
        sure = (original.score > 0.4) & (mapped.score > 0.2)
        assert sure.sum() >= 0.8 * (original.score > 0.4).sum() > 5
        assert np.median(np.linalg.norm(mapped.xy - original.xy, axis=-1)[sure]) < 8


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("libx264", "yuv444p", "mp4"), ("libx264", "yuv422p10le", "mkv"), ("ffv1", "gray", "mkv"),
        ("ffv1", "bgra", "mkv"), ("ffv1", "yuv444p16le", "mkv"), ("rawvideo", "bgr24", "avi"),
        ("huffyuv", "yuv422p", "avi"), ("png", "rgb24", "mov"), ("mjpeg", "yuvj444p", "avi"),
    ],
)  # fmt: skip
def test_colours_and_depths(codec, pixels, suffix, tmp_path):
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as out:
        stream = out.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(coded(number), format="bgr24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with opened(file_source(tmp_path / f"a.{suffix}")) as source:
        frames = read_all(source)
        assert (source._info.messages, source.status().note) == ((), "")
    assert [decode(frame.image) for frame in frames] == list(range(5))
    if pixels != "gray":
        assert np.abs(frames[0].image[100, 10].astype(int) - (200, 120, 60)).max() < 10


@pytest.mark.parametrize("size", [(161, 121), (162, 90), (2, 2), (854, 480), (4098, 16)])
@pytest.mark.parametrize("count", [1, 2])
def test_odd_sizes_and_files_of_one_frame(size, count, tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 90 + number, np.uint8), format="bgr24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with opened(file_source(tmp_path / "a.mkv")) as source:
        frames = read_all(source)
        assert (source._info.size, source.status().note, source._info.messages) == (size, "", ())
    assert [int(frame.image.mean()) for frame in frames] == [90 + number for number in range(count)]


MATRICES = {
    "right for left": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
    "turned": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "turned by a half": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_a_display_matrix_is_followed_also_where_it_mirrors(kind, tmp_path, capsys):
    plain = write_video(tmp_path / "plain.mp4", 2)
    data = plain.read_bytes()
    at = data.index(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), data.index(b"tkhd"))
    (a, b, c, d), expected = MATRICES[kind]
    marked = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path = tmp_path / "marked.mp4"
    path.write_bytes(data[:at] + marked + data[at + 36 :])
    with opened(file_source(plain)) as source:
        before = read_all(source)
    with opened(file_source(path)) as source:
        messages = source._info.messages
        after = read_all(source)
    np.testing.assert_array_equal(after[1].image, expected(before[1].image))
    mirrors = a * d - b * c < 0
    assert any("mirrors its images" in line for line in messages) == mirrors
    assert any("to be mirrored" in line for line in container_lines(path)) == mirrors
