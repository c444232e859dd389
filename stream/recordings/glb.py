"""Skeletons as binary glTF 2.0, for Blender, Unity, Unreal, Godot and browsers: metres, y up.

Each is a skin with a body of simple bones, so that programs which import only what is visible have something to show.
The package pygltflib knows the format.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from engines import skeleton as sk
from engines.articulation import REST
from stream.recordings.skeletons import ENDS, NODES, Skeleton, tallest
from stream.types import StreamError
from stream.words import number_of

_WIDTH: Final = 0.11
"""Of a bone's length: half its width where it is widest."""
_WIDEST: Final = 0.2
"""Of a bone's length: how far from its beginning that is."""
_COLOURS: Final = ((0.16, 0.47, 0.71, 1.0), (0.95, 0.55, 0.16, 0.35))
"""Of the answer and of hypotheses: red, green, blue, opacity."""
_FLOAT, _SHORT, _INT = 5126, 5123, 5125
_KINDS: Final = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


def check_pygltflib() -> None:
    """Raises StreamError if the package pygltflib is not installed."""
    try:
        import pygltflib as _  # noqa: F401 - an extra
    except ImportError:
        raise StreamError("writing glTF needs the package pygltflib: pip install pygltflib==1.16.5") from None


def write_glb(skeletons: Sequence[Skeleton], rate: float, start: str, path: Path) -> list[str]:
    """Write one person: the first skeleton is the answer, the others are hypotheses.

    Args:
        skeletons: with as many frames each.
        rate: Hz of the frames.
        start: when the first frame is, in words, for whoever reads the file's ``asset.extras``.
        path: where to write it.

    Returns:
        What to tell the user.

    Raises:
        OSError: if the disk is full.
    """
    import pygltflib as gltf

    file = gltf.GLTF2(asset=gltf.Asset(generator="hypothesis-stream", extras={"start": start, "rate_hz": rate}))
    data = _Data(file)
    frames = len(skeletons[0].made.root)
    time = data.add(np.arange(frames, dtype=np.float32) / np.float32(rate), bounds=True)
    motion = gltf.Animation(name="take")
    nodes: list[int] = []
    for number, skeleton in enumerate(skeletons):
        nodes.extend(_add_skeleton(data, skeleton, number > 0, tallest(skeletons), motion, time))
    scene = gltf.Scene(name="take", nodes=nodes)
    file.scenes, file.scene, file.animations = [scene], 0, [motion]
    data.close()
    file.save_binary(str(path))
    more = f", {number_of(len(skeletons) - 1, 'hypothesis', 'hypotheses')}" if len(skeletons) > 1 else ""
    return [f"{number_of(frames, 'frame')} at {rate:.6g} Hz, metres, y up, facing z in the rest pose{more}"]


class _Data:
    """The one buffer of a file, and what lies where in it."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self._blob = bytearray()

    def add(self, values: NDArray[Any], bounds: bool = False, target: int | None = None) -> int:
        """The number of a new accessor to an array of (N, ...) float32, uint16 or uint32."""
        import pygltflib as gltf

        kind = {"f": _FLOAT, "H": _SHORT, "I": _INT}[values.dtype.char]
        self._blob += b"\0" * (-len(self._blob) % 4)
        raw = np.ascontiguousarray(values).tobytes()
        view = gltf.BufferView(buffer=0, byteOffset=len(self._blob), byteLength=len(raw), target=target)
        accessor = gltf.Accessor(
            bufferView=len(self.file.bufferViews), byteOffset=0, componentType=kind, count=len(values),
            type=_KINDS[values.shape[1:]],
        )  # fmt: skip
        if bounds:
            flat = values.reshape(len(values), -1)
            accessor.min, accessor.max = flat.min(0).tolist(), flat.max(0).tolist()
        self._blob += raw
        self.file.bufferViews.append(view)
        self.file.accessors.append(accessor)
        return len(self.file.accessors) - 1

    def close(self) -> None:
        """Hand the buffer to the file."""
        import pygltflib as gltf

        self.file.buffers = [gltf.Buffer(byteLength=len(self._blob))]
        self.file.set_binary_blob(bytes(self._blob))


def _add_skeleton(data: _Data, skeleton: Skeleton, ghost: bool, height: float, motion: Any, time: int) -> list[int]:
    """Nodes, skin, body and motion of one skeleton; the numbers of its outermost nodes."""
    import pygltflib as gltf

    file, made = data.file, skeleton.made
    first, offsets = len(file.nodes) + 1, skeleton.offsets
    offsets[0, 1] = height
    file.nodes.append(gltf.Node(name=skeleton.name, children=[first]))
    for joint, name in enumerate(NODES):
        children = [first + j for j in range(1, sk.N_JOINTS) if sk.PARENTS[j] == joint]
        children += [first + sk.N_JOINTS + list(ENDS).index(joint)] if joint in ENDS else []
        file.nodes.append(gltf.Node(name=name, translation=offsets[joint].tolist(), children=children))
    for joint, name in ENDS.items():
        file.nodes.append(gltf.Node(name=name, translation=skeleton.end(joint).tolist()))
    joints = list(range(first, len(file.nodes)))
    places = _rest_places(skeleton, offsets)
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse[:, :3, 3] = -places
    skin = gltf.Skin(
        name=skeleton.name, joints=joints, skeleton=first, inverseBindMatrices=data.add(inverse.transpose(0, 2, 1))
    )
    file.skins.append(skin)
    file.meshes.append(_body(data, skeleton, places, ghost))
    file.nodes.append(gltf.Node(name=f"{skeleton.name} body", mesh=len(file.meshes) - 1, skin=len(file.skins) - 1))
    body = len(file.nodes) - 1  # beside its bones and not below them: what is above a skin does not move it
    _animate(data, motion, time, first, "translation", made.root)
    for joint in range(sk.N_JOINTS):
        _animate(data, motion, time, first + joint, "rotation", made.rotations[:, joint])
    return [first - 1, body]


def _animate(data: _Data, motion: Any, time: int, node: int, what: str, values: Array) -> None:
    import pygltflib as gltf

    output = data.add(values.astype(np.float32))
    motion.samplers.append(gltf.AnimationSampler(input=time, output=output, interpolation="LINEAR"))
    target = gltf.AnimationChannelTarget(node=node, path=what)
    motion.channels.append(gltf.AnimationChannel(sampler=len(motion.samplers) - 1, target=target))


def _rest_places(skeleton: Skeleton, offsets: Array) -> Array:
    """(22, 3) m: where the nodes are in the rest pose, in which nothing is turned."""
    places = offsets.copy()
    for joint in range(1, sk.N_JOINTS):
        places[joint] += places[sk.PARENTS[joint]]
    return np.concatenate([places, [places[joint] + skeleton.end(joint) for joint in ENDS]])


def _body(data: _Data, skeleton: Skeleton, places: Array, ghost: bool) -> Any:
    """A mesh of a slim double pyramid a bone, which its node carries."""
    import pygltflib as gltf

    corners, normals, owners = [], [], []
    for joint in range(1, sk.N_JOINTS):
        length = float(skeleton.made.lengths[joint])
        along, start = REST[joint], places[joint]
        aside = np.array([along[1], along[2], along[0]])
        across = np.cross(along, aside)
        wide = 0.3 if joint == sk.HEAD else _WIDTH
        ring = [start + length * (_WIDEST * along + wide * side) for side in (aside, across, -aside, -across)]
        for k in range(4):
            for triangle in ((start, ring[(k + 1) % 4], ring[k]), (ring[k], ring[(k + 1) % 4], start + length * along)):
                a, b, c = triangle
                normal = np.cross(b - a, c - a)
                corners += [a, b, c]
                normals += [normal / max(float(np.linalg.norm(normal)), 1e-12)] * 3
                owners += [joint] * 3
    joints = np.zeros((len(owners), 4), np.uint16)
    joints[:, 0] = owners
    weights = np.zeros((len(owners), 4), np.float32)
    weights[:, 0] = 1
    vertices = 34962  # ARRAY_BUFFER
    attributes = gltf.Attributes(
        POSITION=data.add(np.array(corners, np.float32), True, vertices),
        NORMAL=data.add(np.array(normals, np.float32), False, vertices),
        JOINTS_0=data.add(joints, False, vertices),
        WEIGHTS_0=data.add(weights, False, vertices),
    )
    colour = gltf.PbrMetallicRoughness(baseColorFactor=list(_COLOURS[ghost]), metallicFactor=0.0, roughnessFactor=0.8)
    data.file.materials.append(
        gltf.Material(
            name="hypothesis" if ghost else "answer", pbrMetallicRoughness=colour, doubleSided=True,
            alphaMode="BLEND" if ghost else "OPAQUE",
        )
    )  # fmt: skip
    primitive = gltf.Primitive(attributes=attributes, material=len(data.file.materials) - 1)
    return gltf.Mesh(name=f"{skeleton.name} body", primitives=[primitive])
