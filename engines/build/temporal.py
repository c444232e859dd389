"""The lifter of several frames: checkpoint -> ONNX with temperature, sigma scale and measured errors in its card."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines import runtimes
from engines.build import card, parity
from engines.build.export import export
from engines.build.lifter import LICENCES, OUTPUTS
from engines.lifter import SHIPPED, MDNLifter
from engines.models.temporal import TemporalMDN
from engines.temporal import JOINTS, LONG_AGO, PARTS
from engines.training.checkpoints import flags, load_checkpoint
from engines.training.data.mocap import Poses
from engines.training.lifter import recalibrate
from engines.training.temporal import motions
from engines.training.temporal.train import TemporalSettings, rebuild
from engines.training.temporal.validate import answer, still_view, unbroken, validate

_KINDS: Final = ((0.0, 0.0), (2.0, 0.0))
"""Noise and a detector's errors in what the probabilities are fitted to: as those of the lifter are."""
_PARITY: Final = 64
"""Motions that the file is compared with torch on."""


class Newest(nn.Module):
    """The network as it runs: the window in, the newest frame's mixture out."""

    def __init__(self, network: TemporalMDN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, x: Tensor, said_mean: Tensor, said_sigma: Tensor, said_log_weight: Tensor, rotation: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``TemporalMDN.forward``, without the axis of the frames."""
        mean, sigma, log_weight = self.network(x, said_mean, said_sigma, said_log_weight, rotation, t, 1)
        return mean[:, 0], sigma[:, 0], log_weight[:, 0]


def windows(lifter: MDNLifter, poses: Poses, window: int, n: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Real inputs: n windows of motions as they are trained on, every fourth of them with few frames."""
    drawn = motions.MotionSampler(poses, seed, window).draw(n)
    parts = lifter.outputs(drawn.inputs.reshape(n * window, -1))
    said = [part.reshape(n, window, *part.shape[1:]) for part in parts]
    t = drawn.t - drawn.t[:, -1:]
    few = np.arange(n) % 4 == 0
    t[few, : window - 3] = LONG_AGO
    values = (drawn.inputs, *said, drawn.R_virtual_to_camera, t)
    return dict(zip(PARTS, (np.ascontiguousarray(v, np.float32) for v in values), strict=True))


def write_onnx(network: TemporalMDN, path: Path, example: dict[str, NDArray[np.float32]]) -> None:
    """Export a network in evaluation mode; the example has two windows or more."""
    export(Newest(network), tuple(torch.from_numpy(example[name]) for name in PARTS), path, PARTS, OUTPUTS)


def compare(network: TemporalMDN, path: Path, x: dict[str, NDArray[np.float32]], scale_mm: float) -> parity.Millimetres:
    """How far the hypotheses of the file are from torch's."""
    with torch.inference_mode():
        mean, sigma, _ = (out.numpy() for out in Newest(network.eval())(*(torch.from_numpy(x[p]) for p in PARTS)))
    return parity.millimetres(mean, sigma, runtimes.load(path, runtimes.NetworkOptions("onnx"))(**x)["mean"], scale_mm)


def _fit(network: TemporalMDN, lifter: MDNLifter, poses: Poses) -> dict[str, float]:
    rng, found = np.random.default_rng(2), []
    for noise, detector in _KINDS:
        for joints in unbroken(poses):
            seen = still_view(joints, rng, noise, detector)
            target = torch.from_numpy(seen.targets[0]) / lifter.decoding.scale_mm
            # Neighbouring frames say the same.
            found.append([part[::3] for part in (*answer(network, lifter, seen), target)])
    return recalibrate.fit_mixtures(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def build_temporal(checkpoint: Path, data: Path, out: Path, weights: Path | None = None) -> dict[str, float]:
    """Export a checkpoint, fit its temperature and sigma scale, check it, and write its card.

    Args:
        checkpoint: of engines.training.temporal.train.
        data: folder of the motion capture.
        out: the ONNX file to write, its card beside it. The old ones stay until the new ones are whole.
        weights: the lifter of one frame that it was trained on; None for the shipped one.

    Returns:
        The parity report.

    Raises:
        UserError: if the checkpoint or the data cannot be read, or the file differs too much from torch.
    """
    state = load_checkpoint(checkpoint)
    settings, network = rebuild(state, checkpoint)
    lifter = MDNLifter(weights or SHIPPED, runtimes.NetworkOptions("onnx", precision="fp32"))
    _, validation = motions.split(motions.load(data))
    test = motions.load(data, ("sequences_30fps_test.npz",))
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / out.name
        example = windows(lifter, validation, settings.window, _PARITY)
        write_onnx(network, built, {name: part[:2] for name, part in example.items()})
        found = compare(network, built, example, lifter.decoding.scale_mm)
        found.check("fp32")
        trained = dataclasses.asdict(settings)
        values: dict[str, card.Value] = {
            "kernels": settings.kernels, "window": settings.window, "lifter": lifter.sha256,
            **_fit(network, lifter, validation), **found.report(), "precision": "fp32", "samples": state["done"],
            **{name: trained[name] for name in ("width", "hidden", "near", "shake", "prior", "seed")},
            **{f"validation_{key.replace('@', '_')}": round(v, 2) for key, v in
               validate(network, lifter, validation).items()},
            **{f"test_{key.replace('@', '_')}": round(v, 2) for key, v in validate(network, lifter, test, 0).items()},
        }  # fmt: skip
        command = f"python -m engines.training.temporal.train{flags(settings, TemporalSettings())}"
        text = card.Text(
            source=f"trained here: {command}",
            licence=LICENCES["mocap"],
            joints=JOINTS,
            input="float32, the last frames of a person, the oldest first: what the lifter was given and said, the "
                  "rotation from the virtual to the real camera's axes, seconds from the newest; see "
                  "engines/temporal.py",
        )  # fmt: skip
        card.write(built, text, values)
        card.place(built, out)
    return found.report()
