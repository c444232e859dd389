"""How the axes of markers are turned."""

import numpy as np
import pytest

from calibration.geometry.upright import camera_right, turn, world_right

X, Y, Z = np.eye(3)
RIGHTS = {"world": world_right, "camera": lambda up, _: camera_right(up)}
TARGETS = {"y": Y, "z": Z}


def turned(axes: str, up: np.ndarray, target: str) -> np.ndarray:
    up = np.asarray(up, float) / np.linalg.norm(up)
    return turn(up, RIGHTS[axes](up, TARGETS[target]), TARGETS[target])


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    """The angle between two rotations."""
    return float(np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(a - b) / np.sqrt(8), 0, 1))))


def tilts(up: np.ndarray, angle: float) -> list[np.ndarray]:
    """``up`` tilted by an angle in degrees, in all directions."""
    across = np.eye(3)[np.abs(up).argmin()]
    a = np.cross(up, across) / np.linalg.norm(np.cross(up, across))
    b, t = np.cross(up, a), np.radians(angle)
    return [up * np.cos(t) + (a * np.cos(k) + b * np.sin(k)) * np.sin(t) for k in np.linspace(0, 2 * np.pi, 25)]


@pytest.mark.parametrize("axes", RIGHTS)
@pytest.mark.parametrize("target", TARGETS)
def test_up_becomes_up_and_nothing_is_mirrored(axes: str, target: str) -> None:
    for up in (*np.eye(3), *-np.eye(3), *np.random.default_rng(0).normal(size=(200, 3))):
        up = up / np.linalg.norm(up)
        R = turned(axes, up, target)
        np.testing.assert_allclose(R @ up, TARGETS[target], atol=1e-9)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1)


@pytest.mark.parametrize(
    ("axes", "up", "target", "rows"),
    [
        ("world", Z, "y", [Y, Z, X]),
        ("world", Y, "y", [X, Y, Z]),
        ("world", -Y, "y", [X, -Y, -Z]),
        ("world", -Z, "y", [X, -Z, Y]),
        ("world", X, "y", [-Y, X, Z]),
        ("world", -X, "y", [Y, -X, Z]),
        ("world", Z, "z", [X, Y, Z]),
        ("world", Y, "z", [X, -Z, Y]),
        ("world", -Y, "z", [X, Z, -Y]),
        ("world", -Z, "z", [X, -Y, -Z]),
        ("world", X, "z", [-Z, Y, X]),
        ("world", -X, "z", [Z, Y, -X]),
        ("camera", -Y, "y", [X, -Y, -Z]),
        ("camera", -Y, "z", [X, Z, -Y]),
        ("camera", Y, "y", [-X, Y, -Z]),
        ("camera", X, "y", [Y, X, -Z]),
    ],
)
def test_axes_that_are_up_are_turned_as_documented(
    axes: str, up: np.ndarray, target: str, rows: list[np.ndarray]
) -> None:
    np.testing.assert_allclose(turned(axes, up, target), rows, atol=1e-12)


@pytest.mark.parametrize("angle", [1e-7, 1e-4, 0.01, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("axes", "up"),
    [("world", Z), ("world", -Z), ("world", Y), ("world", -Y), ("camera", -Y), ("camera", Y), ("camera", X),
     ("camera", -X)],
)  # fmt: skip
def test_a_small_tilt_turns_little(axes: str, up: np.ndarray, target: str, angle: float) -> None:
    straight = turned(axes, up, target)
    for tilted in tilts(up, angle):
        assert degrees(turned(axes, tilted, target), straight) < 1.5 * angle + 1e-6


@pytest.mark.parametrize("axes", RIGHTS)
@pytest.mark.parametrize("target", TARGETS)
def test_no_step_anywhere_but_at_the_one_axis_that_is_documented(axes: str, target: str) -> None:
    ways = np.random.default_rng(1).normal(size=(4, 2, 3))
    alone = X if axes == "world" else Z
    for a, b in ways:
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        ups = [a * (1 - share) + b * share for share in np.linspace(0, 1, 1001)]
        ups = [up / np.linalg.norm(up) for up in ups]
        ups = [up for up in ups if abs(up @ alone) < np.cos(np.radians(10))]
        steps = zip(ups[:-1], ups[1:], strict=True)
        for one, two in steps:
            between = float(np.degrees(np.arccos(np.clip(one @ two, -1, 1))))
            if between < 0.5:  # not across what was left out
                assert degrees(turned(axes, one, target), turned(axes, two, target)) < 12 * between + 1e-3
