"""Joints as rotations of a humanoid: exact, continuous, the same however the world lies, and as sure as they say."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engines import skeleton as sk
from engines.articulation import (
    BONES,
    HUMANOID,
    Articulator,
    articulate,
    forward,
    humanoid_rotations,
    left_handed,
)
from engines.articulation.frames import bone_frames
from engines.articulation.hierarchy import HINGE, LOWER, UPPER
from engines.articulation.kinematics import chained, matrices_of, quaternions_of, unchained
from engines.articulation.lengths import Lengths, bone_lengths, lengths_of
from tests.bodies import standing

LENGTHS = np.array([0, 120, 420, 410, 120, 420, 410, 220, 230, 130, 130, 180, 290, 260, 180, 290, 260.0])


def humanoid(rng: np.random.Generator, count: int, flexion: tuple[float, float] = (40, 140)) -> np.ndarray:
    """(count, 17, 4) local rotations that the conventions allow: limbs any way, hinges flexed by that many degrees."""
    local = np.tile([0, 0, 0, 1.0], (count, 17, 1))
    local[:, 0] = Rotation.random(count, rng=rng).as_quat()
    for upper, lower, axis in zip(UPPER, LOWER, HINGE, strict=True):
        local[:, upper] = Rotation.random(count, rng=rng).as_quat()
        angle = np.radians(rng.uniform(*flexion, count))
        local[:, lower] = Rotation.from_rotvec(angle[:, None] * axis).as_quat()
    return local


def pose_of(local: np.ndarray) -> np.ndarray:
    """(..., 17, 3) joints of such rotations."""
    return forward(np.zeros((*local.shape[:-2], 3)), local, LENGTHS)


def same_rotation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) degrees between rotations."""
    return 2 * np.degrees(np.arccos(np.clip(abs((a * b).sum(-1)), 0, 1)))


def steps(rotations: np.ndarray) -> np.ndarray:
    """(F - 1, 17) degrees from frame to frame."""
    return same_rotation(rotations[1:], rotations[:-1])


def alone(joints: np.ndarray) -> np.ndarray:
    """(N, 17, 4) local rotations of poses that have nothing to do with each other."""
    return quaternions_of(unchained(bone_frames(joints, None, None, 0.0)[0]))


def test_known_rotations_are_found_again(rng: np.random.Generator) -> None:
    local = humanoid(rng, 40, (60, 160))
    assert same_rotation(alone(pose_of(local)), local).max() < 1e-4


def test_the_rest_pose_is_no_rotation_at_all() -> None:
    rest = pose_of(np.tile([0, 0, 0, 1.0], (17, 1)))
    assert rest[sk.L_WRIST, 0] > 700 and rest[sk.HEAD, 1] > 700  # a T that faces z: its left is x
    np.testing.assert_allclose(alone(rest[None])[0], np.tile([0, 0, 0, 1.0], (17, 1)), atol=1e-7)


@pytest.mark.parametrize("spread", [0.2, 1.0, 5.0])
def test_forward_kinematics_gives_back_any_pose_of_constant_lengths(spread: float, rng: np.random.Generator) -> None:
    joints = standing(60, seed=int(rng.integers(1000)), spread=spread)
    made = articulate(np.arange(60) / 30, joints)
    assert made.residual.max() < 1e-3  # mm; the goal is 1
    np.testing.assert_allclose(forward(made.root, made.rotations, made.lengths), joints, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(made.rotations, axis=-1), 1, atol=1e-9)


TURNED = {
    "another heading": Rotation.from_euler("y", 200, degrees=True),
    "upside down": Rotation.from_euler("x", 180, degrees=True),
    "on the side": Rotation.from_euler("z", 90, degrees=True),
    "on the back": Rotation.from_euler("x", -90, degrees=True),
}


@pytest.mark.parametrize("name", TURNED)
def test_only_the_hips_know_how_the_world_lies(name: str, rng: np.random.Generator) -> None:
    R, joints = TURNED[name], np.cumsum(0.1 * standing(30, 1, 2.0), axis=0)  # one after another, slowly
    before, after = (articulate(np.arange(30) / 30, j).rotations for j in (joints, joints @ R.as_matrix().T))
    assert same_rotation(before[:, 1:], after[:, 1:]).max() < 1e-4
    assert same_rotation((R * Rotation.from_quat(before[:, 0])).as_quat(), after[:, 0]).max() < 1e-4


def arms(raised: float) -> dict[int, Rotation]:
    """Local rotations of both upper arms, hanging at -75 degrees and straight up at 90."""
    return {
        sk.L_ELBOW: Rotation.from_euler("z", raised, degrees=True),
        sk.R_ELBOW: Rotation.from_euler("z", -raised, degrees=True),
    }


@pytest.mark.parametrize("raised", [-75, 0, 60, 90])
def test_a_straight_arm_is_turned_as_a_person_would_hold_it(raised: float) -> None:
    local = np.tile([0, 0, 0, 1.0], (17, 1))
    for bone, rotation in arms(raised).items():
        local[bone] = rotation.as_quat()
    made = articulate(np.zeros(1), pose_of(local)[None])
    assert same_rotation(made.rotations[0], local).max() < 1e-4
    assert (made.twist_seen[0, list(UPPER)] == 0).all()


def moving(seconds: float = 4.0, fps: float = 30.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, local rotations and joints of somebody who turns somersaults and swings limbs that become straight and
    bend again, in another plane."""
    rng, time = np.random.default_rng(seed), np.arange(int(seconds * fps)) / fps
    local = np.tile([0, 0, 0, 1.0], (len(time), 17, 1))
    local[:, 0] = Rotation.from_rotvec(np.outer(time, [2.5, 1.0, 0.3])).as_quat()
    for upper, lower, axis in zip(UPPER, LOWER, HINGE, strict=True):
        a, b = rng.normal(0, 0.5, (2, 3))
        turn = 0.8 * np.sin(time[:, None] * rng.uniform(1, 2, 3) + a) + 0.3 * b
        flexion = np.radians(55 - 55 * np.cos(2 * time + rng.uniform(0, 6)))
        local[:, upper] = Rotation.from_rotvec(turn).as_quat()
        local[:, lower] = Rotation.from_rotvec(flexion[:, None] * axis).as_quat()
    return time, local, pose_of(local)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_flips_where_limbs_become_straight(seed: int) -> None:
    time, local, joints = moving(seed=seed)
    made = articulate(time, joints)
    flexed = made.twist_seen[:, list(UPPER)] == 1
    assert 0.3 < flexed.mean() < 0.9
    # Where the hinge is flexed the truth comes back; in between the turn goes there at no more than its fastest.
    off = same_rotation(made.rotations, local)[:, list(UPPER)]
    assert np.percentile(off[flexed], 90) < 1e-3
    assert steps(made.rotations).max() < steps(local).max() + np.degrees(20.0 / 30)
    assert ((made.rotations[1:] * made.rotations[:-1]).sum(-1) > 0).all()


def test_noise_on_straight_limbs_does_not_spin_them(rng: np.random.Generator) -> None:
    local = np.tile([0, 0, 0, 1.0], (17, 1))
    for bone, rotation in arms(-75).items():
        local[bone] = rotation.as_quat()
    joints = pose_of(local) + rng.normal(0, 10, (300, 17, 3))  # knees and elbows bend either way by some degrees
    made = articulate(np.arange(300) / 30, joints)
    assert np.percentile(steps(made.rotations)[:, list(UPPER)], 95) < 25
    assert np.median(same_rotation(made.rotations, local)[:, list(UPPER)]) < 15


def test_a_knee_that_seems_to_bend_forward_leaves_the_thigh_as_it_is() -> None:
    flexion = np.radians(30 * np.sin(np.arange(60) / 5))  # to 30 degrees the wrong way
    local = np.tile([0, 0, 0, 1.0], (60, 17, 1))
    local[:, sk.R_ANKLE, :] = Rotation.from_rotvec(flexion[:, None] * [1, 0, 0]).as_quat()
    made = articulate(np.arange(60) / 30, pose_of(local))
    assert same_rotation(made.rotations, local).max() < 1


DEGENERATE = {
    "all joints in one place": lambda p: p * 0,
    "no hips": lambda p: p * (np.arange(17) != sk.L_HIP)[:, None] * (np.arange(17) != sk.R_HIP)[:, None],
    "a forearm folded onto the arm": lambda p: np.where((np.arange(17) == sk.L_WRIST)[:, None], p[sk.L_SHOULDER], p),
    "the trunk along the hips": lambda p: np.where((np.arange(17) == sk.SPINE)[:, None], p[sk.L_HIP] * 2, p),
    "a shin without a length": lambda p: np.where((np.arange(17) == sk.R_ANKLE)[:, None], p[sk.R_KNEE], p),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_pose_gives_rotations_all_the_same(name: str) -> None:
    time, _, joints = moving(1.0)
    joints = np.concatenate([joints[:10], [DEGENERATE[name](joints[10])], joints[10:]])
    cov = np.broadcast_to(100 * np.eye(3), (17, 3, 3))
    made = articulate(np.arange(31) / 30, joints, np.broadcast_to(cov, (31, 17, 3, 3)))
    assert np.isfinite(made.rotations).all() and np.isfinite(made.residual).all()
    np.testing.assert_allclose(np.linalg.norm(made.rotations, axis=-1), 1, atol=1e-9)
    assert np.isfinite(articulate(np.zeros(1), joints[10:11]).rotations).all()  # also as the first


def test_a_frame_without_the_person_is_nan_and_forgets_nothing() -> None:
    time, _, joints = moving(1.0)
    gone = joints.copy()
    gone[10:12] = np.nan
    made, whole = articulate(time, gone), articulate(time, joints)
    for values in (made.rotations, made.root, made.residual, made.heading):
        assert np.isnan(values[10:12]).all() and np.isfinite(values[12:]).all()
    assert same_rotation(made.rotations[20:], whole.rotations[20:]).max() < 1
    cov = articulate(time, joints * np.nan, np.full((30, 17, 3, 3), np.nan)).cov
    assert cov is not None and np.isnan(cov).all()


def test_live_gives_what_a_take_gives() -> None:
    time, _, joints = moving(1.0, seed=3)
    cov = np.broadcast_to(25 * np.eye(3), (30, 17, 3, 3))
    whole, live = articulate(time, joints, cov), Articulator()
    for k in range(30):
        made = live(time[k], joints[k], cov[k])
        np.testing.assert_allclose(made.rotations, whole.rotations[k], atol=1e-9)
        assert made.cov is not None and whole.cov is not None
        np.testing.assert_allclose(made.cov, whole.cov[k], rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(made.lengths, LENGTHS, atol=1e-6)
    assert made.heading == pytest.approx(whole.heading[-1])


def test_a_covariance_is_what_noise_does(rng: np.random.Generator) -> None:
    joints, sigma = pose_of(humanoid(rng, 1, (60, 110)))[0], 3.0
    made = articulate(np.zeros(1), joints[None], np.full((1, 17, 1, 1), sigma**2) * np.eye(3))
    noisy = alone(joints + rng.normal(0, sigma, (1500, 17, 3)))
    small = Rotation.from_quat(made.rotations[0]).inv() * Rotation.from_quat(noisy)
    got, expected = small.as_rotvec().std(0), np.sqrt(np.diagonal(made.cov[0], axis1=-2, axis2=-1))
    np.testing.assert_allclose(got, expected, rtol=0.15, atol=1e-3)
    np.testing.assert_allclose(made.sigma[0], np.sqrt((expected**2).mean(-1)))


def test_the_turn_of_a_straight_limb_is_said_to_be_open() -> None:
    joints = pose_of(np.tile([0, 0, 0, 1.0], (17, 1)))[None]
    cov = np.full((1, 17, 1, 1), 1.0) * np.eye(3)
    made = articulate(np.zeros(1), joints, cov)
    assert np.degrees(np.sqrt(made.cov[0, sk.L_ELBOW, 0, 0])) > 50  # about itself; x in the rest pose
    assert np.degrees(np.sqrt(made.cov[0, sk.L_ELBOW, 1, 1])) < 1


def test_lengths_are_the_median_of_frames_spread_over_all(rng: np.random.Generator) -> None:
    lengths, poses = Lengths(), standing(3000, spread=0.4)
    for k, pose in enumerate(poses):
        lengths = lengths.add(pose * (1.7 if k % 3 == 0 else 1))  # a third of the frames is wrong
    np.testing.assert_allclose(lengths.value, bone_lengths(poses[0]), rtol=1e-6)
    assert len(lengths.kept) <= 512 and lengths.seen == 3000
    assert lengths.add(np.full((17, 3), np.nan)) is lengths
    assert np.isnan(Lengths().value).all() and np.isnan(lengths_of(np.full((3, 17, 3), np.nan))).all()


def test_the_heading_follows_whole_turns() -> None:
    local = np.tile([0, 0, 0, 1.0], (100, 17, 1))
    turn = np.linspace(0, 4 * np.pi, 100)
    local[:, 0] = Rotation.from_euler("y", turn[:, None]).as_quat()
    joints = pose_of(local)
    np.testing.assert_allclose(articulate(turn, joints).heading, turn, atol=1e-9)
    z_up = joints[..., [2, 0, 1]]  # what faces z with y up faces x with z up
    np.testing.assert_allclose(articulate(turn, z_up, up=np.array([0, 0, 1.0])).heading, turn + np.pi / 2, atol=1e-9)
    local[:, 0] = Rotation.from_euler("x", turn[:, None]).as_quat()  # somersaults
    np.testing.assert_allclose(articulate(turn, pose_of(local)).heading, 0, atol=1e-6)


def test_the_humanoid_of_others_stands_as_ours(rng: np.random.Generator) -> None:
    local = humanoid(rng, 5)
    theirs = humanoid_rotations(local)
    world = chained(matrices_of(theirs), [bone.parent for bone in HUMANOID])
    ours = chained(matrices_of(local))
    for number, bone in enumerate(HUMANOID):
        assert bone.bone < 0 or bone.name.casefold() == BONES[bone.bone].replace("_", "")
        expected = ours[:, bone.bone] if bone.bone >= 0 else world[:, bone.parent]
        np.testing.assert_allclose(world[:, number], expected, atol=1e-9)


def test_left_handed_axes_are_a_mirror(rng: np.random.Generator) -> None:
    q, v = Rotation.random(20, rng=rng).as_quat(), rng.normal(size=(20, 3))
    points, turned = left_handed(Rotation.from_quat(q).apply(v), q)
    np.testing.assert_allclose(Rotation.from_quat(turned).apply(v * [-1, 1, 1]), points, atol=1e-12)


def test_recorded_people(data_folder: Path) -> None:
    """Motion capture: limbs have constant lengths there; the pelvis of HDM05, put between the hips, is not at one
    distance from the spine."""
    takes = np.load(data_folder / "mocap" / "sequences_30fps_test.npz")
    names = takes["subject_names"][takes["subject"]]
    for subject, most in (("CMU_08", 3), ("CMU_09", 7)):
        joints = takes["joints"][(names == subject)][:400].astype(float)[..., [1, 2, 0]]
        made = articulate(np.arange(len(joints)) / 30, joints)
        assert made.residual.max() < most and made.residual.mean() < 1
        rigid = forward(made.root, made.rotations, made.lengths)
        assert articulate(np.arange(len(joints)) / 30, rigid).residual.max() < 1e-3
