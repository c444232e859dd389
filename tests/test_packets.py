"""What holds arrays: ``==`` and ``hash`` are those of the object, because those of an array have no single answer."""

import importlib
import pkgutil
import sys
from dataclasses import fields, is_dataclass
from typing import get_args, get_origin, get_type_hints

import numpy as np
import pytest

import calibration
import engines
import stream
from stream.config import CameraSetupConfig, Config
from stream.packed import Captured
from stream.sources._live import Capture
from stream.types import Event, Frame
from tests.walker import multi, only_pose, only_view


def dataclasses() -> list[type]:
    """Every dataclass of every module."""
    found = []
    for package in (calibration, engines, stream):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                names = vars(importlib.import_module(module.name)).values()
                found += [c for c in names if isinstance(c, type) and is_dataclass(c) and c.__module__ == module.name]
    return found


def holds_arrays(kind: object, seen: frozenset = frozenset()) -> bool:
    """Whether there is an array somewhere in a type."""
    if kind is np.ndarray or get_origin(kind) is np.ndarray:
        return True
    if isinstance(kind, type) and is_dataclass(kind) and kind not in seen:
        hints = get_type_hints(kind, vars(sys.modules[kind.__module__]))
        return any(holds_arrays(hints[field.name], seen | {kind}) for field in fields(kind))
    return any(holds_arrays(part, seen) for part in get_args(kind))


def test_whatever_holds_arrays_is_equal_to_itself_alone() -> None:
    # Settings are compared by value; a calibration among them, which is equal to itself alone, may be.
    holding = [c for c in dataclasses() if holds_arrays(c) and c not in (Config, CameraSetupConfig)]
    assert {"Frame", "Detection", "Mixture", "Estimate", "Camera", "RunInfo"} <= {c.__name__ for c in holding}
    for c in holding:
        assert c.__eq__ is object.__eq__, f"@dataclass(eq=False) for {c.__module__}.{c.__qualname__}"
        assert c.__hash__ is object.__hash__


@pytest.mark.parametrize("count", [1, 3])
def test_packets_can_be_compared_looked_for_and_put_in_sets(count: int) -> None:
    (a, _, info), (b, _, _) = multi(count), multi(count)
    view, other = only_view(a), only_view(b)
    for one, two in ((a, b), (a.person, b.person), (only_pose(a), only_pose(b)),
                     (view, other), (view.mixture, other.mixture),
                     (view.detection, other.detection), (view.tracks[0], other.tracks[0])):  # fmt: skip
        assert one == one and one != two and two in [one, two] and len({one, two, one}) == 2
    assert info == info and hash(info)


def test_frames_of_a_capture_are_equal_to_themselves_alone() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    for one, two in (
        (Capture(0.0, image), Capture(0.0, image)),
        (Captured("cam", 0, 0.0, 0.0, None, image), Captured("cam", 0, 0.0, 0.0, None, image)),
    ):
        assert one == one and one != two and two in [one, two] and len({one, two, one}) == 2


def test_packets_of_scalars_are_equal_by_value() -> None:
    assert Event(1.0, "user", "start") == Event(1.0, "user", "start") != Event(2.0, "user", "start")
    image = np.zeros((2, 2, 3), np.uint8)
    assert Frame("a", 0, 0.0, image) != Frame("a", 0, 0.0, image)
    with pytest.raises(AttributeError):
        Event(1.0, "user", "start").text = "end"  # type: ignore[misc]
