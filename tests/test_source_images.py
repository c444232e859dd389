"""Folders of images, and the synthetic figure."""

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


def test_images_of_two_sizes(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), coded(0))
    cv2.imwrite(str(tmp_path / "1.png"), coded(1, (320, 240)))
    with opened(file_source(tmp_path)) as source:
        source.read()
        with pytest.raises(StreamError, match="from 160x120 to 320x240"):
            source.read()


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
