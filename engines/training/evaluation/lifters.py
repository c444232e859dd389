"""Weights of either kind behind one call, for evaluation: views in, mixtures in the cameras' axes out."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.geometry import virtual
from engines import cards, lifter, runtimes
from engines.on_rays import towards_rays
from engines.training.checkpoints import load_checkpoint
from engines.training.lifter import paper, views
from engines.training.lifter.synthetic_views import ObservedPoses
from engines.training.lifter.train import rebuild
from engines.types import EngineError

_BATCH: Final = 4096
Network = Callable[[NDArray[np.float32]], dict[str, NDArray]]


@dataclass(frozen=True, slots=True, eq=False)
class Lifted:
    """Mixtures of N views."""

    mean: Array
    """(N, M, 17, 3) mm, root-relative, camera axes."""
    sigma: Array
    """(N, M, 17) or (N, M, 17, 3) mm, one standard deviation an axis; 0 for the root."""
    weight: Array
    """(N, M) summing to 1."""


class EvaluatedLifter(Protocol):
    """What is evaluated."""

    name: str
    """Where its weights are."""
    probabilistic: bool
    """False for single regression, whose sigma means nothing."""
    training: dict[str, Any]
    """What is known of its training: kernels, prior, missing ..."""

    def lift(self, observations: ObservedPoses) -> Lifted:
        """Mixtures in the cameras' axes."""
        ...


class VirtualLifter:
    """Weights that look through the virtual camera, as in the live pipeline."""

    def __init__(self, network: Network, decoding: lifter.Decoding, name: str, training: dict[str, Any]) -> None:
        self._network, self._decoding = network, decoding
        self.name, self.training, self.probabilistic = name, training, training.get("loss") != "mse"

    def lift(self, observations: ObservedPoses) -> Lifted:
        """Pelvis and thorax are derived from hips and shoulders first, and hypotheses drawn to the rays, as live."""
        o = observations
        xy, seen = views.derive(np.where(o.seen[..., None], o.rays, 0), o.seen)
        known = np.asarray(np.isfinite(o.up).all(-1))
        up = np.where(known[:, None], o.up, [0.0, -1.0, 0.0])
        view = virtual.look(np.concatenate([xy, np.ones((*xy.shape[:2], 1))], -1), seen, up)
        x = lifter.encode(view.xy, seen, np.where(known, view.pitch, np.nan))
        out = _batched(self._network, x)
        turn = view.R_virtual_to_camera.astype(np.float32)
        mean, sigma, weight = lifter.decode(out["mean"], out["sigma"], out["log_weight"], turn, self._decoding)
        rays = np.concatenate([o.rays, np.ones((*o.rays.shape[:2], 1))], -1)
        for start in range(0, len(mean), _BATCH):
            part = slice(start, start + _BATCH)
            mean[part] = towards_rays(mean[part], rays[part], o.seen[part])
        return Lifted(mean, sigma, weight)


class PixelLifter:
    """Weights of the ``paper`` preset: z-scored pixels of one camera, the answer in its axes."""

    def __init__(
        self, network: Network, normalisation: paper.Normalisation, decoding: lifter.Decoding, name: str,
        training: dict[str, Any],
    ) -> None:  # fmt: skip
        self._network, self._norm, self._decoding = network, normalisation, decoding
        self.name, self.training, self.probabilistic = name, training, training.get("loss") != "mse"

    def lift(self, observations: ObservedPoses) -> Lifted:
        """Whatever the camera is, its pixels are compared with those of the training."""
        out = _batched(self._network, self._norm.encode(observations.xy, observations.seen))
        mean, sigma = self._norm.decode(out["mean"], out["sigma"] * self._decoding.sigma_scale)
        logit = out["log_weight"] / self._decoding.temperature
        weight = np.exp(logit - logit.max(-1, keepdims=True))
        return Lifted(mean, sigma, weight / weight.sum(-1, keepdims=True))


def _batched(network: Network, x: NDArray[np.float32]) -> dict[str, NDArray]:
    parts = [network(x[start : start + _BATCH]) for start in range(0, len(x), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("mean", "sigma", "log_weight")}


def torch_network(network: torch.nn.Module) -> Network:
    """A network of ``engines.models.mdn``, on the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.eval().to(device)

    @torch.inference_mode()
    def run(x: NDArray[np.float32]) -> dict[str, NDArray]:
        out = network(torch.from_numpy(x).to(device))
        return {name: o.cpu().numpy() for name, o in zip(("mean", "sigma", "log_weight"), out, strict=True)}

    return run


def load(path: Path | None = None, runtime: str = "auto") -> EvaluatedLifter:
    """Weights for evaluation.

    Args:
        path: ONNX file with its card beside it, or ``checkpoint.pt`` of a training (its averaged weights, not
            recalibrated); None for the lifter that is shipped.
        runtime: name of the runtime, or "auto"; for ONNX.

    Raises:
        UserError: if they are missing, damaged, or not a lifter's.
    """
    name, path = str(path or "shipped"), path or lifter.SHIPPED
    if path.suffix == ".pt":
        return _from_checkpoint(path)
    card = cards.load_card(path)
    values = dict(card.values)
    network = runtimes.load(path, runtimes.NetworkOptions(runtime, threads=os.cpu_count() or 1))

    def run(x: NDArray[np.float32]) -> dict[str, NDArray]:
        return network(x=x)

    scale = ("sigma_scale", "temperature")
    if values.get("input") == "pixels":
        decoding = lifter.Decoding(1.0, *_numbers(path, values, scale))
        return PixelLifter(run, paper.normalisation_from(values, f"card of {path}"), decoding, name, values)
    return VirtualLifter(run, lifter.Decoding(*_numbers(path, values, ("scale_mm", *scale))), name, values)


def _numbers(path: Path, values: dict[str, Any], wanted: tuple[str, ...]) -> list[float]:
    if missing := [key for key in wanted if not isinstance(values.get(key), int | float)]:
        raise EngineError(f"{path} is not a lifter: its card lacks {', '.join(missing)} in [values]")
    return [float(values[key]) for key in wanted]


def _from_checkpoint(path: Path) -> EvaluatedLifter:
    state = load_checkpoint(path)
    settings, network = rebuild(state, path)
    run, training = torch_network(network), {**state["settings"], "done": state["done"]}
    if settings.input == "pixels":
        norm = paper.normalisation_from(state.get("normalisation", {}), str(path))
        return PixelLifter(run, norm, lifter.Decoding(1.0), str(path), training)
    return VirtualLifter(run, lifter.Decoding(settings.scale_mm), str(path), training)
