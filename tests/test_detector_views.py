"""Agreement of detectors across views, with a person and cameras that are known."""

import numpy as np
import pytest

from benchmarks import detector_views
from benchmarks.detector_views import Watched
from calibration.geometry.camera import Camera, world_to_image
from engines import skeleton
from engines.skeleton import L_SHOULDER, L_WRIST, LIMBS


def ring() -> list[Camera]:
    """Four cameras around the origin, 4 m away, 1 m up, looking at it: in front (x), left, behind, right."""
    found = []
    for name, angle in zip(("front", "left", "behind", "right"), np.radians([0, 90, 180, 270]), strict=True):
        place = np.array([4000 * np.cos(angle), 4000 * np.sin(angle), 1000.0])
        forward = -np.array([np.cos(angle), np.sin(angle), 0])
        right = np.cross(forward, (0, 0, 1))
        R = np.stack([right, np.cross(forward, right), forward])
        K = np.array([[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]])
        found.append(Camera(name, (1000, 1000), K, np.zeros(5), R, -R @ place, np.array([0, 0, 1.0])))
    return found


def facing_x(count: int) -> np.ndarray:
    """(count, 17, 3) mm: somebody who faces along x and whose arms move."""
    pose = np.zeros((17, 3))
    for side, joints in ((1, (4, 5, 6, 11, 12, 13)), (-1, (1, 2, 3, 14, 15, 16))):
        for joint, out, z in zip(joints, (120, 130, 140, 180, 300, 400), (900, 480, 80, 1400, 1200, 1000), strict=True):
            pose[joint] = (0, side * out, z)
    poses = np.tile(pose, (count, 1, 1))
    poses[:, [13, 16], 2] += np.linspace(0, 300, count)[:, None]
    return poses


def seen_by(cameras: list[Camera], poses: np.ndarray) -> Watched:
    xy = np.stack([world_to_image(camera, poses) for camera in cameras])
    return Watched(xy, np.ones(xy.shape[:-1]))


def test_views_that_agree_and_views_that_do_not() -> None:
    cameras, poses = ring(), facing_x(20)
    truth, off = seen_by(cameras, poses), seen_by(cameras, poses)
    off.xy[2, :10] = off.xy[2, :10, skeleton.MIRROR].swapaxes(0, 1)  # left and right, for half of the time, behind
    off.xy[1, :, L_SHOULDER] += (0, 400)
    off.score[3, :, L_WRIST] = 0
    seen = {"exact": truth, "off": off}
    results = detector_views.measure(cameras, seen, ["exact", "off"], ["exact"])
    exact, row = results["exact"], results["off"]
    assert (exact["pck_0.2"], exact["pck_0.2_rear"], exact["swap_rate"]) == (100, 100, 0)
    assert exact["four_views"]["pck_0.2"] == 100
    assert row["four_views"]["pck_0.2"] == pytest.approx(row["pck_0.2"])
    assert exact["residual"]["p90_px"] < 1e-3
    assert {name: view["rear_share"] for name, view in row["by_view"].items()} == {
        "front": 0, "left": 0, "behind": 100, "right": 0,
    }  # fmt: skip
    assert row["by_view"]["front"]["pck_0.2"] == 100
    assert row["by_view"]["behind"]["pck_0.2"] == pytest.approx(50)
    assert row["pck_0.2_rear"] == pytest.approx(50)
    assert row["by_view"]["behind"]["swap_rate"] == pytest.approx(50)
    for view in ("left", "right"):
        assert row["by_view"][view]["pck_0.2"] == pytest.approx(100 * 11 / 12)
    assert row["pck_0.2"] == pytest.approx((100 + 50 + 2 * 100 * 11 / 12) / 4)
    assert row["residual"]["p90_px"] > 5
    assert "behind (100 % from the rear)" in detector_views.markdown(results)


def test_the_residual_is_in_pixels_and_at_the_persons_distance() -> None:
    cameras = ring()
    watched = seen_by(cameras, facing_x(5))
    # Up in two opposite views, down in the others: there is nowhere to go.
    watched.xy[[0, 2]] -= (0, 3)
    watched.xy[[1, 3]] += (0, 3)
    found = detector_views.residual(cameras, watched)
    assert found["median_px"] == pytest.approx(3, abs=0.1)
    assert found["median_mm"] == pytest.approx(3 * 4000 / 1000, rel=0.1)
    assert found["triangulated"] == 100


def test_a_view_is_not_judged_by_itself() -> None:
    cameras, poses = ring(), facing_x(5)
    watched = seen_by(cameras, poses)
    watched.xy[0] += 300
    points = detector_views.consensus(cameras, [watched], 0)
    np.testing.assert_allclose(points[:, list(LIMBS)], poses[:, list(LIMBS)], atol=0.01)


def test_a_shift_that_all_share_is_not_a_detectors() -> None:
    """One camera's calibration is off, so that all are beside the others' consensus; one detector errs besides."""
    cameras, poses = ring(), facing_x(10)
    right, worse = seen_by(cameras, poses), seen_by(cameras, poses)
    worse.xy[0, :, L_WRIST] += (0, 400)
    for watched in (right, worse):
        watched.xy[0] += (120, -30)
    results = detector_views.measure(cameras, {"right": right, "worse": worse}, ["right", "worse"], ["right"])
    assert results["right"]["by_view"]["front"]["pck_0.2"] < 50
    assert results["right"]["shift_px"]["front"] == pytest.approx([120, -30], abs=0.1)
    assert results["right"]["less_shift"]["by_view"]["front"]["pck_0.2"] == 100
    assert results["worse"]["less_shift"]["by_view"]["front"]["pck_0.2"] == pytest.approx(100 * 11 / 12)
    assert "front (+120.0, -30.0)" in detector_views.markdown(results)
