"""Cuts in a film: real scenes, joined, panned, lit and blacked out."""

import cv2
import numpy as np
import pytest

from stream.live.cuts import Cuts
from tests.media import lspet, walker_frames


@pytest.fixture(scope="module")
def walk():
    return walker_frames(range(155, 191))  # a man leaps across the sun


def times_of_cuts(frames, fps=30.0):
    cuts = Cuts()
    return [k for k, frame in enumerate(frames) if cuts(frame, k / fps)]


def test_one_take_has_no_cut_also_at_five_frames_a_second(walk):
    assert times_of_cuts(walk) == []
    assert times_of_cuts(walk[::6], 5.0) == []


def test_every_cut_between_photographs_is_found(data_folder):
    images = [cv2.resize(image, (640, 480)) for image, _ in lspet(data_folder / "lspet", 60)]
    film = [image for image in images for _ in range(3)]
    found = times_of_cuts(film)
    assert set(found) <= set(range(3, 180, 3)) and len(found) >= 58


def test_a_size_that_changes_is_a_cut(walk):
    assert times_of_cuts([walk[0], walk[1], cv2.resize(walk[2], (640, 640)), cv2.resize(walk[3], (640, 640))]) == [2]


@pytest.mark.parametrize("what", ["pan", "darker", "black", "flash", "noise"])
def test_what_is_no_cut(walk, what, rng):
    before, now = walk[10], walk[11]
    if what == "pan":
        now = np.roll(now, 150, axis=1)
    elif what == "darker":
        now = (now * 0.3).astype(np.uint8)
    elif what == "flash":
        now = np.clip(now * 1.5 + 40, 0, 255).astype(np.uint8)
    elif what == "noise":
        now = np.clip(now + rng.normal(0, 40, now.shape), 0, 255).astype(np.uint8)
    film = [before, np.zeros_like(now), now] if what == "black" else [before, now, walk[12]]
    assert times_of_cuts(film) == []


def test_frames_far_apart_and_times_that_go_back_are_not_compared(walk):
    other = walk[0][::-1, ::-1].copy()
    for t in (1.0, -1.0):
        cuts = Cuts()
        assert not cuts(walk[0], 0.0) and not cuts(other, t)
    cuts = Cuts()
    cuts(walk[0], 0.0)
    assert cuts(other, 0.04)
    cuts.reset()
    assert not cuts(walk[0], 0.08)
