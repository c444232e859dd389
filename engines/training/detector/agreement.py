"""What several detectors make of the labels of a photograph, for the joints that people labelled and for others.

MoveNet Thunder looks at each person twice, the second time at the mirror image, and is sure where both looks agree.
PP-TinyPose, where its file is given, confirms labels that Thunder contradicts: it has better ankles. The face is
Thunder's; heels and toes are MediaPipe's, where its knee and ankle of that leg are where the labels have them.
"""

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration import writing
from calibration.arrays import Array, Image
from engines import cards, movenet_heads, preprocess, runtimes
from engines.detectors.hourglass import decode
from engines.detectors.mediapipe import close
from engines.movenet_heads import Single
from engines.skeleton import COCO, LIMBS, MPII
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.detector import augment, crops, pseudo_labels
from engines.types import EngineError

MIRROR_COCO: Final = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
CONFIRMED: Final = 0.9
"""Weight of a label that the second detector confirms."""
LENT: Final = 0.6
"""Share of their weight that labels keep which a detector made and no human."""
SURE_FACE: Final = 0.4
"""Score from which on Thunder's face is taken."""
SURE_FOOT: Final = 0.6
"""And MediaPipe's visibility of a foot."""
NEAR_FOOT: Final = 0.2
"""Distance in torsos within which MediaPipe's knee and ankle confirm its foot."""
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_LIMBS: Final = list(LIMBS)
_OF_COCO, _OF_MPII = np.array(COCO.source)[_LIMBS], np.array(MPII.source)[_LIMBS]
_LEGS: Final = ((29, 31, 25, 27, 4, 5), (30, 32, 26, 28, 1, 0))
"""MediaPipe's heel, toe, knee and ankle of the left leg and of the right, and MPII's knee and ankle."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What the detectors saw on N photographs: x and y in pixels of the photograph and a score, 0 = nothing."""

    thunder: Array
    """(N, 17, 3), COCO's joints."""
    mirrored: Array
    """(N, 17, 3) the same of the mirror image, mirrored back."""
    tiny: Array
    """(N, 17, 3) of PP-TinyPose."""
    blaze: Array
    """(N, 33, 3) of MediaPipe."""


Look = Callable[[Image], Array]
"""A crop (S, S, 3) RGB in; joints (K, 3) out: x and y in 0..1 across the crop, and score."""


def look(photographs: Photographs, cache: Path, tinypose: Path | None) -> Looks:
    """Every detector on every photograph; kept in ``cache``, a file a detector, some minutes each.

    Raises:
        EngineError: if a photograph or a network cannot be read.
    """
    nothing = np.zeros((len(photographs), 17, 3), np.float32)
    return Looks(
        _kept(photographs, cache, "thunder", 17, _thunder),
        _kept(photographs, cache, "mirrored", 17, _thunder_mirrored),
        _kept(photographs, cache, "tiny", 17, lambda: _tiny(tinypose)) if tinypose else nothing,
        _kept(photographs, cache, "blaze", 33, blaze, wider=augment.CONTEXT),
    )


def _kept(
    photographs: Photographs, cache: Path, name: str, joints: int, load: Callable[[], Look], wider: float = 1.0
) -> Array:
    path = cache / f"{name}-{photographs.digest()}.npy"
    if path.exists():
        return np.load(path)
    see, found = load(), np.zeros((len(photographs), joints, 3), np.float32)
    for i in tqdm(range(len(photographs)), unit="photograph", desc=name, mininterval=5):
        box = crops.wide(photographs.joints[i], wider)
        found[i] = see(preprocess.cut(photographs.read(i), box, (256, 256)))
        found[i, :, :2] = preprocess.to_image(box, found[i, :, :2])
    with writing.aside(path) as part, part.open("wb") as file:
        np.save(file, found)
    return found


def _thunder() -> Look:
    run = runtimes.load(cards.WEIGHTS / "movenet_thunder.onnx", runtimes.NetworkOptions("onnx", threads=1))

    def see(crop: Image) -> Array:
        found = run(image=crop[None])
        joints = movenet_heads.decode(Single(*(found[head][0] for head in Single._fields)))
        return np.column_stack([joints.uv, joints.score])

    return see


def _thunder_mirrored() -> Look:
    plain = _thunder()

    def see(crop: Image) -> Array:
        joints = plain(np.ascontiguousarray(crop[:, ::-1]))[MIRROR_COCO]
        joints[:, 0] = 1 - joints[:, 0]
        return joints

    return see


def _tiny(path: Path) -> Look:
    import cv2
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path)
    except Exception as error:  # whatever the bytes provoke
        raise EngineError(f"--tinypose {path} is not a network that can be run ({type(error).__name__})") from error

    def see(crop: Image) -> Array:
        # The square stands in the middle of an upright input, black above and below.
        feed = np.zeros((256, 192, 3), np.uint8)
        feed[32:224] = cv2.resize(crop, (192, 192), interpolation=cv2.INTER_AREA)
        image = ((feed / 255 - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None].astype(np.float32)
        uv, score = decode(np.clip(np.asarray(session.run(None, {"image": image})[0])[0], 0, 1))
        return np.column_stack([uv[:, 0], (uv[:, 1] * 256 - 32) / 192, score])

    return see


def blaze() -> Look:
    """MediaPipe full: its 33 joints."""
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise EngineError(f"heels and toes need mediapipe ({error}): pip install mediapipe==1.2.2") from error
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(cards.WEIGHTS / "pose_landmarker_full.task"))
    )
    landmarker = vision.PoseLandmarker.create_from_options(options)
    atexit.register(close, landmarker)  # left to the interpreter it prints a traceback

    def see(crop: Image) -> Array:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(crop))
        people = landmarker.detect(image).pose_landmarks
        return np.array([(p.x, p.y, p.visibility) for p in people[0]]) if people else np.zeros((33, 3))

    return see


def merge(labels: Array, human: NDArray[np.bool_], looks: Looks) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Targets to train on.

    Args:
        labels: (N, 14, 3) of Leeds Sports Pose.
        human: (N,) whether a human labelled this person.
        looks: of the same people.

    Returns:
        xy (N, 25, 2) pixels of the photograph and weight (N, 25) in 0..1, of ``MPII_FACE_FEET``; and (N, 2) whose arms
        and legs were exchanged.
    """
    side = np.array([lspet.box(person).width / lspet.PAD for person in labels])
    scale = 0.3 * side[:, None]
    xy, score = agreed(looks.thunder, looks.mirrored, scale)
    found, sure = np.zeros((len(labels), pseudo_labels.N_JOINTS, 2)), np.zeros((len(labels), pseudo_labels.N_JOINTS))
    found[:, _OF_MPII], sure[:, _OF_MPII] = xy[:, _OF_COCO], score[:, _OF_COCO]
    target, weight, exchanged = pseudo_labels.merge(labels, found, sure)
    seen = pseudo_labels.to_mpii(labels)[1]
    near = np.zeros_like(seen)
    apart = np.linalg.norm(looks.tiny[:, _OF_COCO, :2] - target[:, _OF_MPII], axis=-1) / scale
    near[:, _OF_MPII] = (apart < pseudo_labels.AGREE) & (looks.tiny[:, _OF_COCO, 2] > 0.3)
    weight = np.where(near & seen & (weight > 0), np.maximum(weight, CONFIRMED), weight)
    weight = weight * np.where(human, 1, LENT)[:, None]
    face = np.where(score[:, :5] > SURE_FACE, np.minimum(score[:, :5], 0.8), 0)
    feet, foot_weight = _feet(looks.blaze, target, weight, scale[:, 0])
    return (
        np.concatenate([target, xy[:, :5], feet], 1).astype(np.float32),
        np.concatenate([weight, face, foot_weight], 1).astype(np.float32),
        exchanged,
    )


def agreed(plain: Array, mirrored: Array, scale: Array) -> tuple[Array, Array]:
    """The mean of both looks (N, K, 2) and their score (N, K), which falls where they disagree."""
    agree = np.linalg.norm(plain[..., :2] - mirrored[..., :2], axis=-1) / scale < pseudo_labels.AGREE
    xy = np.where(agree[..., None], (plain[..., :2] + mirrored[..., :2]) / 2, plain[..., :2])
    mean, least = (plain[..., 2] + mirrored[..., 2]) / 2, np.minimum(plain[..., 2], mirrored[..., 2])
    return xy, np.where(agree, mean, 0.6 * least)


def _feet(blaze: Array, target: Array, weight: Array, scale: Array) -> tuple[Array, Array]:
    """Left heel, right heel, left toe, right toe: (N, 4, 2) and their weights (N, 4)."""
    xy, trust = np.zeros((len(blaze), 4, 2)), np.zeros((len(blaze), 4))
    for side, (heel, toe, knee, ankle, own_knee, own_ankle) in enumerate(_LEGS):
        own = [own_knee, own_ankle]
        apart = np.linalg.norm(blaze[:, [knee, ankle], :2] - target[:, own], axis=-1) / scale[:, None]
        sure = ((apart < NEAR_FOOT) & (weight[:, own] > 0.5)).all(1)
        for k, joint in ((side, heel), (2 + side, toe)):
            xy[:, k] = blaze[:, joint, :2]
            trust[:, k] = np.where(sure & (blaze[:, joint, 2] > SURE_FOOT), 0.6, 0)
    return xy, trust
