"""Folders of images, and the synthetic figure."""

import struct

import av
import cv2
import numpy as np
import pytest

from calibration.geometry.camera import camera_to_image
from stream.config import SourceConfig
from stream.sources.synthetic import SyntheticSource
from stream.types import StreamError
from tests.reading import (
    SIZE,
    file_source,
    opened,
    read_all,
)
from tests.servers import coded, decode


def test_images_in_natural_order_at_the_given_rate(tmp_path):
    for number in (0, 1, 2, 10, 11, 100):
        cv2.imwrite(str(tmp_path / f"shot{number}.{'png' if number % 2 else 'bmp'}"), coded(number))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._shot0.png").write_text("what a Mac leaves")
    source = file_source(tmp_path, fps=10.0)
    info = source.open()
    frames = read_all(source)
    source.close()
    assert (info.frames, info.fps, info.size) == (6, 10.0, SIZE)
    assert [decode(frame.image) for frame in frames] == [0, 1, 2, 10, 11, 100]
    assert np.allclose([frame.t for frame in frames], np.arange(6) / 10)


def test_an_image_that_cannot_be_read_is_counted_and_passed_over(tmp_path):
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), coded(number))
    (tmp_path / "2.png").write_text("no image")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:200])
    with opened(file_source(tmp_path)) as source:
        frames = read_all(source)
        status = source.status()
    assert [frame.index for frame in frames] == [decode(frame.image) for frame in frames] == [0, 1, 5]
    assert status.corrupt == 3 and "4.png" in status.note


def test_images_none_of_which_can_be_read(tmp_path):
    (tmp_path / "0.jpg").write_text("no image")
    with pytest.raises(StreamError, match="not one image"):
        file_source(tmp_path).open()


@pytest.mark.parametrize("odd", [0, 2, 4])
def test_pictures_of_another_size_are_named_counted_and_left_out(tmp_path, odd):
    """As photographs for a calibration are: one taken upright among others."""
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), coded(number, (120, 160) if number == odd else SIZE))
    with opened(file_source(tmp_path)) as source:
        frames, status = read_all(source), source.status()
    assert [frame.index for frame in frames] == [number for number in range(6) if number != odd]
    assert status.corrupt == 1
    assert f"most pictures are 160x120, {odd}.png is 120x160; it is left out" in status.note


def exif(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an orientation as a camera writes it."""
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def test_inspect_says_which_pictures_are_left_out_before_they_are_read(tmp_path):
    for number, size in enumerate((SIZE, SIZE, SIZE[::-1])):
        cv2.imwrite(str(tmp_path / f"{number}.png"), coded(number, size))
    with opened(file_source(tmp_path)) as source:
        (line,) = source._info.messages
    assert line.endswith("pictures of another size than 160x120 are left out (2.png is 120x160)")


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_photographs_are_turned_upright(tmp_path, orientation, turns):
    image = coded(5)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(exif(jpeg, orientation))
    with opened(file_source(tmp_path)) as source:
        frames = read_all(source)
    assert len(frames) == 3
    expected = np.rot90(image, turns).astype(int)
    assert frames[0].image.shape == expected.shape and np.abs(frames[0].image - expected).mean() < 4


def picture(kind, image):
    """What is written for a kind of picture of the same content."""
    if kind == "rgba.png":  # nearly transparent: the colours are there all the same
        return np.dstack([image, np.full(image.shape[:2], 10, np.uint8)])
    if kind == "float.tif":
        return image.astype(np.float32) / 255
    bits = {"grey10.png": 10, "colour12.png": 12, "grey12.tif": 12, "colour14.tif": 14, "colour16.png": 16}[kind]
    deep = image.astype(np.uint16) * 257 >> (16 - bits)
    return deep[..., 1] if kind.startswith("grey") else deep


@pytest.mark.parametrize(
    "kind", ["rgba.png", "grey10.png", "colour12.png", "grey12.tif", "colour14.tif", "colour16.png", "float.tif"]
)
def test_pictures_of_every_depth_look_alike(tmp_path, kind, capfd):
    image = coded(5)
    dark = (image // 8).astype(np.uint8)  # one dark picture makes no other bits of the folder
    for number, one in enumerate((dark, image, image)):
        assert cv2.imwrite(str(tmp_path / f"{number}_{kind}"), picture(kind, one))
    source = file_source(tmp_path)
    info = source.open()
    frames = read_all(source)
    source.close()
    expected = np.dstack([image[..., 1]] * 3) if kind.startswith("grey") else image
    assert np.abs(frames[1].image.astype(int) - expected).max() <= 1
    assert frames[0].image.max() < 40
    said = [f"use {bits} bits; they are stretched" for bits in (10, 12, 14) if str(bits) in kind]
    assert len(info.messages) == len(said) and all(said[0] in m for m in info.messages)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("most", "kind"), [(255, np.float32), (4095, np.float64), (65535, np.float32)])
def test_floating_point_pictures_of_whole_numbers_are_no_white_ones(tmp_path, most, kind):
    image = coded(5)
    for number in range(2):
        assert cv2.imwrite(str(tmp_path / f"{number}.tif"), (image * (most / image.max())).astype(kind))
    source = file_source(tmp_path)
    (message,) = source.open().messages
    seen = read_all(source)[1].image.astype(int)
    source.close()
    assert f"taken as 0 to {most}, not 0 to 1" in message
    assert np.abs(seen - image * (255 / image.max())).max() <= 1


def test_cmyk(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    image = np.full((64, 64, 3), (200, 30, 60), np.uint8)
    pillow.fromarray(image).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    with opened(file_source(tmp_path)) as source:
        seen = read_all(source)[0].image
    assert np.abs(seen[32, 32].astype(int) - (60, 30, 200)).max() < 12


def test_one_picture_is_a_source_of_one_image(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), coded(7))
    with opened(file_source(tmp_path / "a.png")) as source:
        assert [decode(frame.image) for frame in read_all(source)] == [7]


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_an_animation_is_a_video(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format="apng" if suffix == "png" else None) as out:
        stream = out.add_stream("apng" if suffix == "png" else "gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "rgb24" if suffix == "png" else "rgb8"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(coded(number), format="bgr24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with opened(file_source(path)) as source:
        frames = read_all(source)
    assert [decode(frame.image) for frame in frames] == [0, 1, 2, 3]
    assert np.allclose(np.diff([frame.t for frame in frames]), 0.1)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a.mp4", "b.MOV"), "this folder holds videos (a.mp4, b.MOV), no pictures; give each camera its file"),
        (("1.HEIC", "2.heic"), "of a kind that is not read here (.heic); convert them to JPEG or PNG"),
        (("notes.txt",), "there are no images in this folder"),
    ],
)
def test_a_folder_of_something_else_says_of_what(tmp_path, names, says):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(StreamError) as caught:
        file_source(tmp_path).open()
    assert says in str(caught.value)


def test_pictures_that_are_not_read_are_named_among_others(tmp_path):
    cv2.imwrite(str(tmp_path / "1.jpg"), coded(1))
    (tmp_path / "2.heic").write_bytes(b"x")
    source = file_source(tmp_path)
    assert "1 pictures of kinds that are not read (.heic) are left out" in source.open().messages[0]
    source.close()
    with pytest.raises(StreamError, match="not read here"):
        file_source(tmp_path / "2.heic").open()


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\0\0\0\x18ftypheic", "HEIC"), (b"\0\0\0\x1cftypavif", "AVIF"), (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000")],
)
def test_pictures_under_another_name_are_named(head, kind, tmp_path):
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(head + bytes(200))
    with pytest.raises(StreamError, match=rf"not one image .*: it is {kind} under another name; convert it"):
        file_source(tmp_path).open()


def test_a_folder_of_folders_names_them(tmp_path):
    (tmp_path / "cam01").mkdir()
    with pytest.raises(StreamError, match=r"only other folders \(cam01\); give each camera the one with its images"):
        file_source(tmp_path).open()


def test_further_pictures_of_a_tiff_are_said(tmp_path):
    assert cv2.imwritemulti(str(tmp_path / "1.tif"), [coded(1), coded(2), coded(3)])
    cv2.imwrite(str(tmp_path / "2.tif"), coded(4))
    with opened(file_source(tmp_path)) as source:
        (line,) = source._info.messages
        assert [decode(frame.image) for frame in read_all(source)] == [1, 4]
    assert "1.tif holds 3 pictures, of which only the first is used" in line


def test_the_synthetic_figure_is_where_it_says():
    source = SyntheticSource(SourceConfig("synthetic:frames=20", "cam"))
    info = source.open()
    assert (info.size, info.frames, info.fps) == ((640, 480), 20, 30.0)
    for frame in read_all(source):
        joints = source.joints(frame.index)
        assert np.allclose(joints, camera_to_image(source.camera, source.pose(frame.index)))
        assert ((joints > 0) & (joints < (640, 480))).all()
        for joint in joints[1:]:
            b, g, r = frame.image[round(joint[1]), round(joint[0])].astype(int)
            assert max(b, g, r) - min(b, g, r) > 40, "painted there, on a grey background"
    source.close()


def test_the_synthetic_figure_is_the_same_every_time_and_moves():
    config = SourceConfig("synthetic:yaw=90", "cam")
    a, b = SyntheticSource(config), SyntheticSource(config)
    assert np.array_equal(a.render(7), b.render(7))
    assert not np.array_equal(a.render(7), a.render(8))
    assert np.linalg.norm(a.pose(20) - a.pose(0), axis=1).max() > 100
    bones = [np.linalg.norm(a.pose(k)[[1, 2, 11, 12]] - a.pose(k)[[2, 3, 12, 13]], axis=1) for k in (0, 9, 50)]
    assert np.allclose(bones[0], bones[1]) and np.allclose(bones[0], bones[2])
