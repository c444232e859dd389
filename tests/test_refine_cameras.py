"""Cameras corrected by the people they saw: known changes are found again, and what cannot be told is refused."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, world_to_image
from calibration.geometry.rotations import rotation_matrix
from engines.refinement.cameras import Observed, observed, refine_cameras
from tests.fusion_scene import ring
from tests.refining import walk


def _seen(cameras: list[Camera], count: int, noise_px: float = 2.0, late_s: float = 0.0) -> Observed:
    rng = np.random.default_rng(0)
    times, truth = walk(count)
    speed = np.gradient(truth, times, axis=0)
    xy = []
    for k in range(count):
        one = {}
        for number, camera in enumerate(cameras):
            pose = truth[k] - speed[k] * (late_s if number == 0 else 0)
            one[camera.name] = world_to_image(camera, pose) + rng.normal(0, noise_px, (17, 2))
        xy.append(one)
    return observed(times, list(truth), xy, cameras)


def _shaken(cameras: list[Camera]) -> list[Camera]:
    """The first one turned by 1.2 degrees and moved by 40 mm since it was calibrated."""
    R = rotation_matrix(np.radians([0.9, -0.7, 0.4])) @ cameras[0].R
    return [replace(cameras[0], R=R, t=-R @ (cameras[0].centre + [30, 20, -15])), *cameras[1:]]


@pytest.mark.parametrize("azimuths", [(0, 90, 180, 270), (0, 60, 120)])
def test_a_camera_that_was_moved_is_found(azimuths: tuple[int, ...]):
    true = ring(azimuths)
    corrected, changes = refine_cameras(_shaken(true), _seen(true, 120))
    for camera, other in zip(corrected[1:], true[1:], strict=True):
        relative = camera.R @ corrected[0].R.T @ (other.R @ true[0].R.T).T
        assert np.degrees(np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1))) < 0.25
    assert max(changes, key=lambda change: change.bias_px[0]).name == "cam0"
    assert all(change.bias_px[1] < 2 for change in changes)


def test_a_good_calibration_stays():
    true = ring((0, 90, 180, 270))
    try:
        _, changes = refine_cameras(true, _seen(true, 120))
    except CalibrationError as error:
        assert "do not hold" in str(error)
    else:
        assert all(change.moved_mm < 12 and change.turned_degrees < 0.2 for change in changes)


def test_a_late_camera_is_named():
    true = ring((0, 90, 180, 270))
    _, changes = refine_cameras(_shaken(true), _seen(true, 150, late_s=0.012))
    late = {change.name: change.late_s for change in changes}
    assert 0.006 < late["cam0"] - np.mean([late[f"cam{k}"] for k in (1, 2, 3)]) < 0.018


def test_wrong_joints_do_not_carry_the_cameras_away():
    true = ring((0, 90, 180, 270))
    seen = _seen(true, 120)
    rng = np.random.default_rng(1)
    wrong = rng.random(seen.xy.shape[:2]) < 0.1
    seen.xy[wrong] += rng.normal(0, 200, (int(wrong.sum()), 2))
    _, changes = refine_cameras(_shaken(true), seen)
    assert all(change.bias_px[1] < 3 for change in changes)


def test_what_a_recording_cannot_tell_is_refused():
    true = ring((0, 90, 180, 270))
    with pytest.raises(CalibrationError, match="in 10 moments two cameras see the same joints; 24 are needed"):
        refine_cameras(_shaken(true), _seen(true, 10))
    flat = _seen(true, 60)
    flat.joints[:, 1] = 0.0
    with pytest.raises(CalibrationError, match="within 0 mm of a plane"):
        refine_cameras(_shaken(true), flat)
    blind = _seen(true, 60)
    blind.xy[1:] = np.nan
    with pytest.raises(CalibrationError, match="in 0 moments"):
        refine_cameras(_shaken(true), blind)
