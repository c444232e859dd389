"""BVH and glTF of a take, read back by other libraries and by Blender, and compared with a person who is known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engines import skeleton as sk
from engines.articulation import forward
from engines.articulation.euler import nearest_angles
from stream.recordings.hypothesis_slots import Slots
from stream.recordings.skeletons import ENDS, NODES
from tests.exports import run
from tests.humanoids import LENGTHS, SPEED, take_of, walk

RATE = 60000 / 1001
BLENDER = "BPY_PYTHON"
"""The environment variable that names a Python with the package bpy."""


@pytest.fixture(scope="module")
def time() -> np.ndarray:
    return np.arange(60) / RATE


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory, time: np.ndarray) -> Path:
    return take_of(tmp_path_factory.mktemp("takes"), time)


def bvh_positions(path: Path) -> tuple[float, dict[str, np.ndarray]]:
    """Frame time, and world positions (F, 3) by name, as the package bvhio reads them."""
    bvhio = pytest.importorskip("bvhio", reason="reads BVH in this test: pip install bvhio")
    container = bvhio.readAsBvh(str(path))
    root = bvhio.convertBvhToHierarchy(container.Root)
    joints = [joint for joint, _, _ in root.layout()]
    found: dict[str, list[tuple[float, ...]]] = {joint.Name: [] for joint in joints}
    for frame in range(container.FrameCount):
        root.loadPose(frame)
        for joint in joints:
            found[joint.Name].append(tuple(joint.PositionWorld))
    return container.FrameTime, {name: np.array(places) for name, places in found.items()}


def test_bvh_holds_the_person_in_centimetres(take: Path, time: np.ndarray, tmp_path: Path, capsys) -> None:
    pytest.importorskip("pybvh")
    assert run(take, "bvh", tmp_path / "a.bvh") == 0
    out = capsys.readouterr().out
    assert "joints are 0 mm from where they were" in out and "60 frames at 59.9401 Hz, centimetres, y up" in out
    frame_time, places = bvh_positions(tmp_path / "a.bvh")
    assert 1 / frame_time == pytest.approx(RATE, rel=1e-6)
    expected = forward(*walk(time), LENGTHS)
    for joint, name in enumerate(NODES):
        # A node lies where its bone begins.
        np.testing.assert_allclose(places[name], expected[:, max(sk.PARENTS[joint], 0)] / 10, atol=0.01, err_msg=name)
    head = places["Head"] - places["Hips"]
    assert (head[:, 1] > 55).all() and np.ptp(places["Hips"][:, 2]) == pytest.approx(SPEED / 10 * 59 / RATE, rel=1e-3)


def test_rotations_of_bvh_take_the_short_way() -> None:
    flexed = Rotation.from_rotvec(np.outer(np.linspace(0, 3.1, 200), [1, 0, 0])).as_matrix()  # through 90 degrees
    np.testing.assert_allclose(nearest_angles(flexed, "ZXY"), np.outer(np.linspace(0, 3.1, 200), [0, 1, 0]), atol=1e-6)
    locked = np.column_stack([np.linspace(0, 7, 99), np.full(99, np.pi / 2), np.full(99, 0.3)])
    for sign in (1, -1):
        turned = Rotation.from_euler("ZXY", locked * [1, sign, 1])
        found = nearest_angles(turned.as_matrix(), "ZXY")
        assert np.abs(np.diff(found, axis=0)).max() < 0.1
        np.testing.assert_allclose(Rotation.from_euler("ZXY", found).as_matrix(), turned.as_matrix(), atol=1e-9)


def glb_of(path: Path):
    pygltflib = pytest.importorskip("pygltflib")
    file = pygltflib.GLTF2().load_binary(str(path))
    blob = file.binary_blob()

    def read(number: int) -> np.ndarray:
        accessor = file.accessors[number]
        view = file.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        kind = {5126: np.float32, 5123: np.uint16}[accessor.componentType]
        values = np.frombuffer(blob, kind, accessor.count * width, view.byteOffset)
        return values.reshape(accessor.count, width).astype(float)

    return file, read


def glb_places(file, read, skin: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times, and world places (F, 3) of a skeleton's nodes by name: the file's own tree and motion, nothing of ours."""
    moved: dict[int, dict[str, np.ndarray]] = {}
    (motion,) = file.animations
    for channel in motion.channels:
        sampler = motion.samplers[channel.sampler]
        moved.setdefault(channel.target.node, {})[channel.target.path] = read(sampler.output)
        time = read(sampler.input)[:, 0]
    places: dict[str, np.ndarray] = {}

    def go(number: int, R: Rotation, at: np.ndarray) -> None:
        node, mine = file.nodes[number], moved.get(number, {})
        translation = mine.get("translation", np.array(node.translation or [0, 0, 0.0]))
        at = at + R.apply(np.broadcast_to(translation, at.shape).copy())
        R = R * Rotation.from_quat(mine["rotation"]) if "rotation" in mine else R
        places[node.name] = at
        for child in node.children or []:
            go(child, R, at)

    go(file.skins[skin].skeleton, Rotation.identity(len(time)), np.zeros((len(time), 3)))
    return time, places


def test_glb_holds_the_person_in_metres(take: Path, time: np.ndarray, tmp_path: Path, capsys) -> None:
    pytest.importorskip("pygltflib")
    assert run(take, "glb", tmp_path / "a.glb") == 0
    assert "60 frames at 59.9401 Hz, metres, y up, facing z" in capsys.readouterr().out
    file, read = glb_of(tmp_path / "a.glb")
    found, places = glb_places(file, read)
    np.testing.assert_allclose(found, time, atol=1e-6)
    expected = forward(*walk(time), LENGTHS) / 1000
    for joint, name in ENDS.items():
        np.testing.assert_allclose(places[name], expected[:, joint], atol=1e-4, err_msg=name)
    # The body's bones are where the skeleton is at rest: bound, no vertex moves.
    (skin,) = file.skins
    bound = read(skin.inverseBindMatrices).reshape(-1, 4, 4)[:, 3, :3]
    corners = read(file.meshes[0].primitives[0].attributes.POSITION)
    assert corners[:, 1].min() == pytest.approx(0, abs=1e-6) and 1.5 < corners[:, 1].max() < 1.9
    assert len(skin.joints) == 22 and -bound[0, 1] == pytest.approx((LENGTHS[2] + LENGTHS[3]) / 1000, abs=1e-4)
    owners = read(file.meshes[0].primitives[0].attributes.JOINTS_0)
    assert owners.max() < len(skin.joints) and set(owners[:, 0]) == set(range(1, 17))
    assert json.loads(json.dumps(file.asset.extras))["rate_hz"] == pytest.approx(RATE, rel=1e-6)


@pytest.mark.parametrize("to", ["bvh", "glb"])
def test_each_person_gets_a_file(to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = take_of(tmp_path / "takes", np.arange(6) / 30, people=(3, 7), gone=(2, 3))
    assert run(folder, to, tmp_path / f"a.{to}") == 0
    out = capsys.readouterr().out
    assert "person3: 2 frames without them hold the pose before, or the first" in out
    assert {p.name for p in tmp_path.glob(f"*.{to}")} == {f"a.person3.{to}", f"a.person7.{to}"}
    assert run(folder, to, tmp_path / f"a.{to}", "--select", "3", "--force") == 0
    assert {p.name for p in tmp_path.glob(f"*.{to}")} == {f"a.{to}"}, "what an earlier export left"


def test_uneven_times_are_resampled_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pybvh")
    time = np.delete(np.arange(50) / 50, [10, 11, 12])
    folder = take_of(tmp_path / "takes", time)
    assert run(folder, "bvh", tmp_path / "a.bvh") == 0
    assert "its times are uneven: resampled from 47 to 50 frames at 50 Hz" in capsys.readouterr().out
    assert run(folder, "bvh", tmp_path / "b.bvh", "--rate", "25") == 0
    _, places = bvh_positions(tmp_path / "b.bvh")
    np.testing.assert_allclose(np.diff(places["Hips"][:, 2]), SPEED / 10 / 25, atol=0.02)


def test_hypotheses_are_skeletons_of_the_same_bones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = take_of(tmp_path / "takes", np.arange(8) / 30, cameras=1)
    assert run(folder, "glb", tmp_path / "a.glb", "--hypotheses") == 0
    assert "facing z in the rest pose, 5 hypotheses" in capsys.readouterr().out
    file, read = glb_of(tmp_path / "a.glb")
    assert [skin.name for skin in file.skins] == ["person0", *(f"person0 hypothesis {k}" for k in range(5))]
    bones = [read(skin.inverseBindMatrices) for skin in file.skins]
    for other in bones[1:]:
        np.testing.assert_allclose(other, bones[0], atol=1e-6)
    first, second = (glb_places(file, read, k)[1]["LeftHand"] for k in (1, 2))
    assert np.linalg.norm(first - second, axis=1).min() > 0.05
    assert run(folder, "bvh", tmp_path / "a.bvh", "--hypotheses") == 0
    assert len(list(tmp_path.glob("a.hypothesis?.bvh"))) == 5


def test_what_is_not_to_be_had_is_refused(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(take, "bvh", tmp_path / "a.bvh", "--hypotheses") == 2
    assert "choose one with --camera" in capsys.readouterr().err
    assert run(take, "glb", tmp_path / "a.glb", "--prefix") == 2
    assert capsys.readouterr().err == "--prefix is for trc and c3d: glb holds one person a file\n"
    assert run(take, "bvh", tmp_path / "a.glb") == 2
    assert "its name is that of glb" in capsys.readouterr().err
    nobody = take_of(tmp_path / "takes", np.arange(4) / 30, gone=(0, 1, 2, 3))
    assert run(nobody, "bvh", tmp_path / "a.bvh", "--camera", "cam01") == 2
    assert "has nobody in this take" in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize(("to", "package"), [("bvh", "pybvh==0.9.0"), ("glb", "pygltflib==1.16.5")])
def test_a_missing_package_is_named(
    to: str, package: str, take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, package.split("=")[0], None)
    assert run(take, to, tmp_path / f"a.{to}") == 2
    assert f"pip install {package}" in capsys.readouterr().err


def test_one_camera_in_the_world_lies_over_the_fused_pose(
    take: Path, time: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(take, "bvh", tmp_path / "a.bvh", "--camera", "cam02", "--world") == 0
    assert "the answer of camera 'cam02' at its root, world axes" in capsys.readouterr().out
    _, places = bvh_positions(tmp_path / "a.bvh")
    np.testing.assert_allclose(places["Hips"], walk(time)[0] / 10, atol=0.01)
    assert run(take, "bvh", tmp_path / "b.bvh", "--world") == 2
    assert "--world is for --camera NAME" in capsys.readouterr().err
    alone = take_of(tmp_path / "alone", np.arange(4) / 30, cameras=1)
    assert run(alone, "bvh", tmp_path / "b.bvh", "--world") == 2
    assert "camera 'cam0' has no place in a world" in capsys.readouterr().err


def test_a_track_keeps_its_slot() -> None:
    person = np.array([0, 1, 0, 0, 0])
    tracks = np.array([[5, 7, 6], [1, 2, 3], [6, 5, 8], [-1, -1, -1], [8, 9, 6]])
    found = Slots().of(person, tracks)
    # 5 7 6 | 5 8 6 | none | 9 8 6, by the columns that hold them.
    np.testing.assert_array_equal(found, [[0, 1, 2], [0, 1, 2], [1, 2, 0], [-1, -1, -1], [1, 0, 2]])


@pytest.mark.slow
@pytest.mark.parametrize("to", ["bvh", "glb"])
def test_blender_shows_them_upright_walking_forward_and_as_tall_as_they_are(
    to: str, take: Path, tmp_path: Path
) -> None:
    if BLENDER not in os.environ:
        pytest.skip(f"needs Blender as a module: {BLENDER} names no Python with the package bpy")
    assert run(take, to, tmp_path / f"a.{to}") == 0
    program = Path(__file__).with_name("blender_import.py")
    command = [os.environ[BLENDER], str(program), str(tmp_path / f"a.{to}"), str(tmp_path / "a.png")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(said.strip().splitlines()[-1])
    first, last = (np.array(found[key]["Hips"]) for key in ("first", "last"))
    # Blender has z up and faces -y what faces z in glTF and in BVH.
    np.testing.assert_allclose(last - first, [0, -SPEED / 1000 * 59 / RATE, 0], atol=0.03)
    head = np.array(found["first"]["Head"])
    assert head[2] - first[2] == pytest.approx((LENGTHS[7] + LENGTHS[8] + LENGTHS[9]) / 1000, abs=0.01)
    left, right = (np.array(found["first"][name]) for name in ("LeftArm", "RightArm"))
    assert left[0] - right[0] == pytest.approx(0.36, abs=0.02)
    assert (tmp_path / "a.png").stat().st_size > 5000
