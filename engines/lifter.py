"""The lifter: normalise, run the network, decode the mixture. Pure numpy around a runtime.

Li and Lee, "Generating Multiple Hypotheses for 3D Human Pose Estimation with Mixture Density Network", CVPR 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration import text
from calibration.arrays import Array, Bools
from calibration.geometry import virtual
from calibration.geometry.camera import Camera, image_to_ray
from engines import cards, runtimes
from engines.on_rays import towards_rays
from engines.runtimes import NetworkOptions
from engines.types import Detection, EngineError, LifterInput, Mixture, Runtime

INPUTS: Final = 54
"""34 coordinates, 17 visible bits, and (known, sin, cos) of the pitch."""
_PIXELS: Final = 5.0
"""Of a 2D joint, one standard deviation an axis, where its root is placed by it."""
_JOINTS: Final = ("h36m17 without the root",)
SHIPPED: Final = cards.WEIGHTS / "lifter.onnx"
"""The lifter that is used when no other is asked for."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """The numbers that turn the network's outputs into a mixture; they come from the weights' card."""

    scale_mm: float
    """Millimetres of one unit of the network's outputs."""
    sigma_scale: float = 1.0
    """Factor on every sigma, fitted on the validation subjects."""
    temperature: float = 1.0
    """The logarithms of the mixing coefficients are divided by it; fitted on the validation subjects."""


def encode(xy: Array, seen: Bools, pitch: Array) -> NDArray[np.float32]:
    """The network's input vector.

    Args:
        xy: (..., 17, 2) in the virtual camera, 0 where not seen.
        seen: (..., 17) visible bits.
        pitch: (...,) radians, NaN where gravity is not known.

    Returns:
        (..., 54) float32.
    """
    known = np.isfinite(pitch)
    angle = np.where(known, pitch, 0.0)
    tail = np.stack([known, np.sin(angle), known * np.cos(angle)], -1)
    flat = xy.reshape(*xy.shape[:-2], 34)
    return np.concatenate([flat, seen, tail], -1, dtype=np.float32)


def decode(
    mean: Array, sigma: Array, log_weight: Array, R_virtual_to_camera: Array, decoding: Decoding
) -> tuple[Array, Array, Array]:
    """The network's outputs as mixtures in millimetres and the real cameras' axes.

    Args:
        mean: (N, M, 16, 3) joints without the root, in units of ``scale_mm``, virtual camera axes.
        sigma: (N, M, 16) or (N, M, 1), one standard deviation an axis, in the same units.
        log_weight: (N, M) logarithms of the mixing coefficients.
        R_virtual_to_camera: (N, 3, 3).
        decoding: the weights' numbers.

    Returns:
        mean (N, M, 17, 3) mm, sigma (N, M, 17) mm (0 for the root), weight (N, M) summing to 1.
    """
    n, m, joints, _ = mean.shape
    out_mean = np.zeros((n, m, joints + 1, 3), np.float32)
    out_mean[:, :, 1:] = decoding.scale_mm * mean @ R_virtual_to_camera.transpose(0, 2, 1)[:, None]
    out_sigma = np.zeros((n, m, joints + 1), np.float32)
    out_sigma[:, :, 1:] = decoding.scale_mm * decoding.sigma_scale * sigma
    logit = log_weight / decoding.temperature
    weight = np.exp(logit - logit.max(-1, keepdims=True))
    return out_mean, out_sigma, weight / weight.sum(-1, keepdims=True)


def rays_of(detections: Sequence[Detection], camera: Camera) -> list[Array]:
    """The rays (17, 3) of each of several people in one camera, z = 1; of all at once."""
    if not detections:
        return []
    return list(image_to_ray(camera, np.stack([detection.xy for detection in detections])))


def lifter_input(detection: Detection, camera: Camera, min_score: float) -> LifterInput:
    """Carry a detection to the person's virtual camera.

    Args:
        detection: 2D joints in pixels of that camera.
        camera: its intrinsics, and gravity where it is known.
        min_score: joints with a lower score count as not seen.

    Returns:
        LifterInput; joints that are not seen are 0 and their visible bit is False.
    """
    return lifter_inputs([detection], [camera], rays_of([detection], camera), min_score)[0]


def lifter_inputs(
    detections: Sequence[Detection], cameras: Sequence[Camera], rays: Sequence[Array], min_score: float
) -> list[LifterInput]:
    """``lifter_input`` of N people, each with its camera and its rays (17, 3)."""
    if not detections:
        return []
    score, lines = np.stack([detection.score for detection in detections]), np.stack(rays)
    # A fisheye also shows what is beside the camera, of which there is no ray.
    seen = (score >= min_score) & (score > 0) & np.isfinite(lines).all(-1)
    up = [camera.up_in_camera for camera in cameras]
    known = np.array([one is not None for one in up])
    view = virtual.look(lines, seen, np.stack([virtual.IMAGE_UP if one is None else one for one in up]))
    pitch = np.where(known, view.pitch, np.nan)
    return [
        LifterInput(*parts)
        for parts in zip(view.xy.astype(np.float32), seen, pitch.tolist(), view.R_virtual_to_camera, lines, strict=True)
    ]


def place_root(pose: Array, detection: Detection, camera: Camera, min_score: float) -> Array:
    """Where the root of a root-relative pose stands, by least squares of the 2D joints that were really seen.

    Args:
        pose: (17, 3) mm, root-relative, camera axes.
        detection: 2D joints in pixels.
        camera: its intrinsics.
        min_score: joints with a lower score are left out, as are derived ones.

    Returns:
        (3,) mm in camera axes; NaN where fewer than two joints are left or the answer lies behind the camera.
    """
    return place_roots(pose[None], [detection], np.stack(rays_of([detection], camera)), min_score)[0]


def place_roots(poses: Array, detections: Sequence[Detection], rays: Array, min_score: float) -> Array:
    """``place_root`` (N, 3) of poses (N, 17, 3) by rays (N, 17, 3)."""
    weight = np.where(np.isfinite(rays).all(-1), _trust(detections, min_score), 0.0)
    root = virtual.place(poses, np.nan_to_num(rays), weight)
    return np.where(root[:, 2:] > 0, root, np.nan)


def _trust(detections: Sequence[Detection], min_score: float) -> Array:
    """(N, 17) score of the joints by which a root is placed, 0 of the others."""
    score, derived = np.stack([d.score for d in detections]), np.stack([d.derived for d in detections])
    return np.where((score >= min_score) & ~derived, score, 0.0)


def root_covariances(
    poses: Array, sigma: Array, roots: Array, detections: Sequence[Detection], cameras: Sequence[Camera], rays: Array,
    min_score: float,
) -> Array:  # fmt: skip
    """How sure ``place_roots`` is: (N, 3, 3) mm2 in camera axes; NaN where the root is.

    Args:
        poses: (N, 17, 3) mm, root-relative, camera axes.
        sigma: (N, 17) mm, one standard deviation an axis of each of its joints.
        roots: (N, 3) what ``place_roots`` gave.
        detections: N of them.
        cameras: of each, its own.
        rays: (N, 17, 3) of its joints.
        min_score: as of ``place_root``.
    """
    weight = _trust(detections, min_score)
    pixel = np.array([_PIXELS / float(camera.K[0, 0]) for camera in cameras])
    return virtual.place_covariance(poses, rays, weight, roots, sigma, pixel)


class MDNLifter:
    """A mixture density network behind a runtime.

    Args:
        path: ONNX file with its card beside it; None for the one that is shipped.
        options: what executes it; its number of threads is not asked.

    Raises:
        EngineError: if the weights are missing, damaged, or not a lifter's, or the runtime is not there.
    """

    def __init__(
        self,
        path: Path | None = None,
        options: NetworkOptions = NetworkOptions(precision="auto"),
    ) -> None:
        self.path = path = path or SHIPPED
        card = cards.load_card(path)
        wanted = ("scale_mm", "sigma_scale", "temperature", "kernels")
        if missing := [key for key in wanted if not isinstance(card.values.get(key), int | float)]:
            raise EngineError(f"{path} is not a lifter: its card lacks {', '.join(missing)} in [values]")
        if card.joints not in _JOINTS:
            raise EngineError(
                f"model card of {path}: joints {text.shown(card.joints)} are no lifter's; known: {', '.join(_JOINTS)}"
            )
        self.decoding = Decoding(
            cards.number(card, "scale_mm", 1, 1e5),
            cards.number(card, "sigma_scale", 1e-3, 1e3),
            cards.number(card, "temperature", 1e-3, 1e3),
        )
        self.kernels = int(cards.number(card, "kernels", 1, 1000))
        self.sha256 = str(card.values.get("of", card.sha256)).lower()
        """Of the weights in floating point, also where the file is int8: which lifter it is."""
        # One thread: at batch 1 the network is bound by reading its weights, and the other cores have work.
        self._runtime: Runtime = runtimes.load(path, runtimes.fitting(path, replace(options, threads=1)))
        runtimes.expect(
            self._runtime,
            f"{path} is not the lifter that its card describes",
            {"x": np.zeros((1, INPUTS), np.float32)},
            {"mean": (1, self.kernels, 16, 3), "sigma": (1, self.kernels, None), "log_weight": (1, self.kernels)},
        )

    def __call__(self, inputs: Sequence[LifterInput]) -> list[Mixture]:
        """One mixture an input, in one batch; root-relative, mm, real camera's axes."""
        if not inputs:
            return []
        x = encode(
            np.stack([i.xy for i in inputs]), np.stack([i.seen for i in inputs]), np.array([i.pitch for i in inputs])
        )
        mean, sigma, weight = self.run(x, np.stack([i.R_virtual_to_camera for i in inputs]))
        if drawn := [k for k, i in enumerate(inputs) if i.rays is not None]:
            rays, seen = np.stack([i.rays for i in inputs if i.rays is not None]), np.stack([i.seen for i in inputs])
            mean[drawn] = towards_rays(mean[drawn], rays, seen[drawn])
        return [Mixture(*parts) for parts in zip(mean, sigma, weight, strict=True)]

    def outputs(self, x: NDArray[np.float32]) -> tuple[Array, Array, Array]:
        """Encoded inputs (N, 54) to what the network itself says, see ``decode``."""
        out = self._runtime(x=x)
        return out["mean"], out["sigma"], out["log_weight"]

    def run(self, x: NDArray[np.float32], R_virtual_to_camera: Array) -> tuple[Array, Array, Array]:
        """Encoded inputs (N, 54) to the arrays of ``decode``, as the network says them; for whole data sets."""
        return decode(*self.outputs(x), R_virtual_to_camera, self.decoding)

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on."""
        return self._runtime.describe()
