"""Angles of joints: their signs, their spread, their files, and that OpenSim means the same by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy.spatial.transform import Rotation

from engines import skeleton as sk
from engines.articulation import forward
from engines.articulation.angles import CLINICAL, OPENSIM, angle_sigmas, angles_of, names_of
from engines.articulation.frames import bone_frames
from engines.articulation.solve import solve
from tests.exports import run
from tests.humanoids import LENGTHS, SPEED, take_of

Y = np.array([0.0, 1, 0])
STANDING = {
    0: ("y", 90), sk.L_ELBOW: ("z", -90), sk.R_ELBOW: ("z", 90), sk.L_WRIST: ("y", -80), sk.R_WRIST: ("y", 80),
    sk.R_ANKLE: ("x", 50), sk.L_ANKLE: ("x", 50),
}  # fmt: skip
"""Faces X, arms hanging, knees and elbows flexed so that the turns of thighs and arms are seen."""
RESTING = {"knee_angle_r": 50, "knee_angle_l": 50, "elbow_flex_r": 80, "elbow_flex_l": 80}


def joints_of(*moved: tuple[int, str, float]) -> np.ndarray:
    """(1, 17, 3) mm, y up: standing, with bones turned about their rest axes before that."""
    turns = {bone: Rotation.from_euler(axis, degrees, degrees=True) for bone, (axis, degrees) in STANDING.items()}
    for bone, axis, degrees in moved:
        turn = Rotation.from_euler(axis, degrees, degrees=True)
        turns[bone] = turns[bone] * turn if bone == 0 else turn * turns.get(bone, Rotation.identity())
    local = np.tile([0, 0, 0, 1.0], (1, 17, 1))
    for bone, turn in turns.items():
        local[0, bone] = turn.as_quat()
    return forward(np.zeros((1, 3)), local, LENGTHS)


def angles(joints: np.ndarray, which=CLINICAL) -> dict[str, float]:
    solved, _ = solve(np.arange(len(joints)) / 30, joints, Y, None)
    return dict(zip(names_of(which), angles_of(solved, which)[0].tolist(), strict=True))


SIGNS = {
    "a thigh forward": ([(sk.R_KNEE, "x", -30)], {"hip_flexion_r": 30}),
    "the left thigh forward": ([(sk.L_KNEE, "x", -30)], {"hip_flexion_l": 30}),
    "a thigh outwards": ([(sk.R_KNEE, "z", -20)], {"hip_adduction_r": -20}),
    "the left thigh outwards": ([(sk.L_KNEE, "z", 20)], {"hip_adduction_l": -20}),
    "toes inwards": ([(sk.R_KNEE, "y", 15)], {"hip_rotation_r": 15}),
    "left toes inwards": ([(sk.L_KNEE, "y", -15)], {"hip_rotation_l": 15}),
    "an arm forward": ([(sk.R_ELBOW, "x", -40)],
                       {"arm_flex_r": 40, "shoulder_elevation_r": 40, "shoulder_plane_r": 90,
                        "shoulder_rotation_r": -90}),
    "the left arm outwards": ([(sk.L_ELBOW, "z", 50)], {"arm_add_l": -50, "shoulder_elevation_l": 50}),
    "bent forward": ([(sk.THORAX, "x", 25)], {"lumbar_extension": -25}),
    "bent to the right": ([(sk.THORAX, "z", 20)], {"lumbar_bending": 20}),
    "the head back": ([(sk.HEAD, "x", -20)], {"neck_extension": 20}),
    "turned to the left": ([(0, "y", 30)], {"pelvis_rotation": 30}),
    "the pelvis forward": ([(0, "x", 15)], {"pelvis_tilt": -15}),
    "the right hip down": ([(0, "z", 10)], {"pelvis_list": 10}),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNS)
def test_signs_are_the_same_on_both_sides(name: str) -> None:
    moved, expected = SIGNS[name]
    found = angles(joints_of(*moved))
    elevated = {k for k in found if k.startswith("shoulder_") and k[-1] not in {e[-1] for e in expected if "arm" in e}}
    for angle, value in found.items():
        if angle not in elevated:  # of an arm that hangs straight down the plane of elevation is anything
            assert value == pytest.approx((RESTING | expected).get(angle, 0), abs=0.01), angle


def test_opensims_pelvis_has_another_order() -> None:
    joints = joints_of((0, "y", 30), (0, "x", 15))
    found, R = angles(joints, OPENSIM), Rotation.from_euler("YZ", [30, -15], degrees=True)
    expected = R.as_euler("ZXY", degrees=True)
    np.testing.assert_allclose(
        [found[n] for n in ("pelvis_tilt", "pelvis_list", "pelvis_rotation")], expected, atol=1e-6
    )


def test_a_sigma_is_what_noise_does(rng: np.random.Generator) -> None:
    joints = joints_of((sk.R_KNEE, "x", -30), (sk.L_ELBOW, "z", 50), (sk.R_ELBOW, "x", -40))
    solved, _ = solve(np.zeros(1), joints, Y, None)
    sigma = angle_sigmas(solved, CLINICAL, np.full((1, 17, 1, 1), 9.0) * np.eye(3))[0]
    frames, _ = bone_frames(joints + rng.normal(0, 3, (1500, 17, 3)), None, None, 0.0)
    spread = angles_of(replace(solved, frames=frames), CLINICAL).std(0)
    np.testing.assert_allclose(spread, sigma, rtol=0.15)


def test_the_turn_of_a_straight_limb_is_anything() -> None:
    joints = joints_of((sk.R_ANKLE, "x", -50))
    solved, _ = solve(np.zeros(1), joints, Y, None)
    sigmas = angle_sigmas(solved, CLINICAL, np.full((1, 17, 1, 1), 9.0) * np.eye(3))[0]
    sigma = dict(zip(names_of(CLINICAL), sigmas, strict=True))
    assert sigma["hip_rotation_r"] > 50 > 5 > sigma["hip_rotation_l"] and sigma["hip_flexion_r"] < 2


def test_a_person_who_turns_round_has_no_jump() -> None:
    turns = np.linspace(0, 900, 100)
    joints = np.concatenate([joints_of((0, "y", turn)) for turn in turns])
    solved, _ = solve(np.arange(100) / 30, joints, Y, None)
    found = angles_of(solved, CLINICAL)
    np.testing.assert_allclose(found[:, 0], turns, atol=1e-6)
    joints[50] = np.nan
    solved, _ = solve(np.arange(100) / 30, joints, Y, None)
    assert np.isnan(angles_of(solved, CLINICAL)[50]).all()
    assert np.isnan(angle_sigmas(solved, CLINICAL, np.full((100, 17, 1, 1), 9.0) * np.eye(3))[50]).all()


def walked(time: np.ndarray) -> dict[str, np.ndarray]:
    """What ``humanoids.walk`` does, by the names of the angles."""
    swing = np.sin(2 * np.pi * time / 1.1)
    return {"hip_flexion_r": 25 * swing, "hip_flexion_l": -25 * swing, "elbow_flex_r": 50 + 10 * swing}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_angles_of_a_take(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time = np.arange(30) / 30
    folder = take_of(tmp_path / "takes", time, gone=(4,))
    assert run(folder, "angles", tmp_path / f"a.{suffix}") == 0
    assert "30 angles, degrees, each with one standard deviation; 30 rows, 1 of them empty" in capsys.readouterr().out
    table = pandas.read_csv(tmp_path / "a.csv") if suffix == "csv" else pandas.read_parquet(tmp_path / "a.parquet")
    there = table.drop(index=4)
    assert table.drop(columns=["time_s", "unix_time_s"]).iloc[4].isna().all()
    for name, values in walked(time).items():
        np.testing.assert_allclose(there[f"{name}_deg"], np.delete(values, 4), atol=0.05)
        assert np.all(there[f"{name}_sigma_deg"].to_numpy() > 0.5)
    assert run(folder, "angles", tmp_path / "a.trc") == 2
    assert "would hold angles, but its name is that of trc; give --out a file such as a.csv" in capsys.readouterr().err


def read_mot(path: Path) -> tuple[list[str], pandas.DataFrame]:
    head, _, rows = path.read_text("ascii").partition("endheader\n")
    lines = [line.split("\t") for line in rows.splitlines()]
    return head.splitlines(), pandas.DataFrame([[float(x) for x in line] for line in lines[1:]], columns=lines[0])


def test_mot_of_a_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time = np.arange(30) / 30
    assert run(take_of(tmp_path / "takes", time, gone=(4,)), "mot", tmp_path / "a.mot") == 0
    assert "29 rows, 1 moment without them left out: degrees, metres, y up" in capsys.readouterr().out
    head, table = read_mot(tmp_path / "a.mot")
    assert head[0] == "Coordinates" and "inDegrees=yes" in head and f"nColumns={table.shape[1]}" in head
    np.testing.assert_allclose(table["time"], np.delete(time, 4), atol=1e-6)
    for name, values in walked(time).items():
        np.testing.assert_allclose(table[name], np.delete(values, 4), atol=0.05)
    np.testing.assert_array_equal(table["L5_S1_Flex_Ext"], table["lumbar_extension"])
    # It walks along z, which is the model's right: what is before the hips is there too.
    assert np.polyfit(table["time"], table["pelvis_tz"], 1)[0] == pytest.approx(SPEED / 1000, rel=0.01)
    assert table["pelvis_ty"].to_numpy().mean() == pytest.approx(0.87 + 0.0661 * 120 / 83.5, abs=0.002)
