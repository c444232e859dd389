"""PCK, swaps and who counts, of errors that are planted."""

import numpy as np
import pytest

from engines import skeleton
from engines.skeleton import HEAD, JOINTS, L_HIP, L_KNEE, L_WRIST, LIMBS, R_HIP, R_KNEE, R_SHOULDER, R_WRIST
from engines.training.evaluation import detector_metrics
from tests.labelled import people, perfect

LIMB = list(LIMBS)


def test_pck_of_planted_errors() -> None:
    joints = people(2)
    found = perfect(joints)
    assert detector_metrics.score(detector_metrics.labels(joints), found)["pck_0.2"] == 100
    found[:, LIMB] += (0, 19.9)
    found[0, [L_KNEE, R_WRIST]] += (0, 0.2)
    found[1, R_SHOULDER] = np.nan
    result = detector_metrics.score(detector_metrics.labels(joints), found)
    assert result["pck_0.2"] == pytest.approx(100 * 21 / 24)
    assert result["pck_0.2_all"] == pytest.approx(100 * 21 / 24)
    # Ten and eleven of twelve: a deviation of 1/12 times the root of a half, of two people.
    assert result["pck_0.2_se"] == pytest.approx(100 / 24)
    assert result["by_joint"]["left_knee"]["pck_0.2"] == 50
    assert result["by_joint"]["left_ankle"]["pck_0.2"] == 100
    assert set(result["by_joint"]) == {JOINTS[j] for j in LIMBS}
    # Half of a head is 20 px: 19.9 is within it, 20.1 is not.
    assert result["pckh_0.5"] == pytest.approx(100 * 21 / 24)
    joints[..., 13, 1] -= 10
    assert detector_metrics.score(detector_metrics.labels(joints), found)["pckh_0.5"] == pytest.approx(100 * 23 / 24)


def test_the_difference_of_two_detectors_on_the_same_people() -> None:
    joints = people(4)
    better, worse = perfect(joints), perfect(joints)
    for person, wrong in enumerate((0, 4, 8, 12)):
        better[person, LIMB[:wrong]] = np.nan
        worse[person, LIMB[:wrong]] = np.nan
    worse[:2, LIMB[-3:]] = np.nan
    truth = detector_metrics.labels(joints)
    found = detector_metrics.difference(truth, better, worse)
    # A quarter more for two of four: far surer than either figure, whose people differ from 0 to 100 per cent.
    assert found["pck_0.2"] == pytest.approx(12.5)
    assert found["se"] == pytest.approx(12.5 / np.sqrt(3))
    assert found["se"] < detector_metrics.score(truth, better)["pck_0.2_se"] / 2
    assert detector_metrics.difference(detector_metrics.labels(joints[:1]), better[:1], worse[:1]) is None


def test_the_interval_of_a_difference_by_joint() -> None:
    joints = people(40)
    better, worse = perfect(joints), perfect(joints)
    worse[:10, [L_KNEE, R_KNEE]] = np.nan  # a quarter of the knees, and a twenty-fourth of all limb joints
    joints[:, 0, 2] = 0  # LSP's right ankle: labelled in nobody
    found = detector_metrics.paired(detector_metrics.labels(joints), better, worse)
    assert found["knee"]["points"] == pytest.approx(25)
    assert found["pooled"]["points"] == pytest.approx(100 * 20 / (40 * 11))
    # A quarter of 40 people, drawn with replacement: 25 with a standard deviation of 6.8 points.
    assert found["knee"]["low"] == pytest.approx(25 - 1.96 * 6.8, abs=3)
    assert found["knee"]["high"] == pytest.approx(25 + 1.96 * 6.8, abs=3)
    assert found["ankle"] == {"points": 0.0, "low": 0.0, "high": 0.0}
    joints[:, 5, 2] = 0
    assert "ankle" not in detector_metrics.paired(detector_metrics.labels(joints), better, worse)


def test_who_counts() -> None:
    joints = people(4)
    joints[1, 6, 2] = 0  # no right wrist: counts "of everybody" only, without the wrist
    joints[2, 12, 2] = 0  # no neck: neither fully visible nor a head to measure by
    joints[3, 8, 2] = 0  # no right shoulder: nothing to measure by
    found = perfect(people(4))
    found[1, [R_WRIST, L_WRIST]] = np.nan
    found[3] = np.nan
    result = detector_metrics.score(detector_metrics.labels(joints), found)
    assert (result["people"], result["people_whole"]) == (3, 1)
    assert result["pck_0.2"] == 100
    assert result["pck_0.2_all"] == pytest.approx(100 * 34 / 35)
    joints[0, 0, 2] = 0
    nobody_whole = detector_metrics.score(detector_metrics.labels(joints), found)
    assert nobody_whole["pck_0.2"] is None
    assert nobody_whole["by_joint"]["left_knee"]["pck_0.2"] is None


def test_the_head_counts_where_a_detector_has_one() -> None:
    joints = people(2)
    found = perfect(joints)
    found[0, HEAD] = joints[0, 13, :2]
    found[1, HEAD] = joints[1, 13, :2] + (0, 25)
    result = detector_metrics.score(detector_metrics.labels(joints), found)
    assert result["by_joint"]["head"] == {"pck_0.2": 50, "pckh_0.5": 50}
    assert result["pck_0.2"] == 100, "and never among the limbs, which all detectors share"


def test_swap_rate_of_planted_exchanges() -> None:
    joints = people(3)
    truth = detector_metrics.labels(joints)
    found = perfect(joints)
    assert detector_metrics.swaps(truth, found) == (0, 18)
    found[0] = found[0, skeleton.MIRROR]
    assert detector_metrics.swaps(truth, found) == (6, 18)
    found[1, [L_KNEE, R_KNEE]] = found[1, [R_KNEE, L_KNEE]]
    assert detector_metrics.swaps(truth, found) == (7, 18)
    found[2, [L_WRIST, R_WRIST]] = found[2, [R_WRIST, L_WRIST]] + (50, 0)  # wrong both ways
    found[2, R_HIP] = found[2, L_HIP]  # both on one: one wrong, but not an exchange
    found[2, L_KNEE] = found[2, R_KNEE]
    assert detector_metrics.swaps(truth, found) == (7, 18)
    joints[0, 0, 2] = 0  # an ankle that is not labelled: no pair
    assert detector_metrics.swaps(detector_metrics.labels(joints), found) == (6, 17)
    assert detector_metrics.score(truth, found)["swap_rate"] == pytest.approx(100 * 7 / 18)


def test_a_pair_that_is_right_either_way_is_not_exchanged() -> None:
    joints = people(1)
    joints[0, 1, :2] = joints[0, 4, :2] - (10, 0)  # the knees side by side
    found = perfect(joints)
    found[0, [L_KNEE, R_KNEE]] = found[0, [R_KNEE, L_KNEE]]
    assert detector_metrics.swaps(detector_metrics.labels(joints), found) == (0, 6)
