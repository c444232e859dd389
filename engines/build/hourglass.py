"""The stacked hourglass: checkpoint -> ONNX, with its accuracy and the meaning of its peaks in the card."""

import math
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from engines import runtimes
from engines.build import card, parity
from engines.build.export import export, fold_norms
from engines.detectors.hourglass import as_feed, decode
from engines.models.hourglass import SIGMA, StackedHourglass
from engines.skeleton import LIMBS, MPII
from engines.training.checkpoints import load_checkpoint
from engines.training.data.lspet import Photographs
from engines.training.detector import crops, train_on_thunder
from engines.training.detector.checkpoint import JOINT_SETS, Network, rebuild
from engines.training.detector.on_thunder import OnThunderSettings
from engines.training.detector.train import HourglassSettings, command, pck, predict
from engines.types import Runtime

LICENCE = (
    "MIT for the weights; trained on the photographs of Leeds Sports Pose Extended (Johnson and Everingham, CVPR "
    "2011), their labels repaired by Google MoveNet Thunder (Apache-2.0)"
)
_MOST = 1000
"""Photographs that a build is compared and measured on."""


ON_THUNDER = (
    "Apache-2.0: the trunk of MoveNet Thunder (Google, Apache-2.0) with stacks of our own (MIT) on top; trained on the "
    "photographs of Leeds Sports Pose Extended (Johnson and Everingham, CVPR 2011), COCO 2017 (labels CC BY 4.0), Open "
    "Images (CC BY 2.0) and GMDCSA24 (MIT), their labels repaired, and the face and feet labelled, by MoveNet Thunder, "
    "PP-TinyPose and MediaPipe (all Apache-2.0)"
)


class LastHeatmaps(nn.Module):
    """The network as it runs: batch norms folded where they can be, the heatmaps of the last stack.

    Args:
        network: in evaluation mode.
        half: whether weights and features are float16; inputs, outputs and the softmax stay float32.
    """

    def __init__(self, network: Network, half: bool = False) -> None:
        super().__init__()
        self._dtype = torch.float16 if half else torch.float32
        self.body = fold_norms(_LastLogits(network)).to(self._dtype)

    def forward(self, image: Tensor) -> Tensor:
        """As the last of ``StackedHourglass.forward``: (B, 3, S, S) RGB 0..1 to (B, K, S / 4, S / 4)."""
        logits = self.body(image.to(self._dtype)).float()
        height, width = logits.shape[2:]
        return torch.softmax(logits.flatten(2), -1).unflatten(-1, (height, width)) * (2 * math.pi * SIGMA**2)


class _LastLogits(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network.logits(image)[-1]


def read(checkpoint: Path) -> tuple[Network, dict]:
    """The averaged network of a checkpoint in evaluation mode, and the settings of its training.

    Raises:
        UserError: if it is missing or is none of the hourglass.
    """
    state = load_checkpoint(checkpoint)
    network, side = rebuild(state, checkpoint)
    more = {"size": side, "epoch": state.get("epoch", 0), "origin": state.get("origin", "")}
    more["crops"] = state.get("step", 0) * state["settings"].get("batch", 0) if "epoch" not in state else 0
    return network.eval(), state["settings"] | more


def _command(settings: dict) -> str:
    if "trunk_rate" in settings:
        known = {f.name: settings[f.name] for f in fields(OnThunderSettings) if f.name in settings}
        return train_on_thunder.command(OnThunderSettings(**known), settings["origin"])
    known = {f.name: settings[f.name] for f in fields(HourglassSettings) if f.name in settings}
    return command(HourglassSettings(**known), settings["origin"])


def _length(settings: dict) -> dict[str, int]:
    """How long it was trained."""
    return {"crops": settings["crops"]} if settings["crops"] else {"epochs": settings["epoch"]}


def find(runtime: Runtime, images: NDArray[np.uint8]) -> tuple[NDArray, NDArray]:
    """Joints (N, K, 2) in pixels from the edge and heights of their peaks (N, K), of crops (N, S, S, 3) RGB."""
    found = []
    for image in images:
        (maps,) = runtime(image=as_feed(image)).values()
        found.append(decode(maps[0]))
    return np.array([uv for uv, _ in found]) * images.shape[1], np.array([height for _, height in found])


def _find_in_torch(module: nn.Module, images: NDArray[np.uint8]) -> NDArray:
    with torch.inference_mode():
        maps = (module(torch.from_numpy(as_feed(image)))[0].numpy() for image in images)
        return np.array([decode(m)[0] for m in maps]) * images.shape[1]


def meaning(xy: NDArray, height: NDArray, labels: NDArray) -> dict[str, float]:
    """``score_middle`` and ``score_slope``: the logistic curve from a peak's height to the chance of being right.

    Right is within 0.2 of the torso, for the twelve limb joints that are labelled as visible.

    Args:
        xy: (N, K, 2) found, pixels; those of MPII first.
        height: (N, K) of the peaks.
        labels: (N, 16, 3) x, y, visible, pixels.
    """
    limbs, K = np.array(MPII.source)[list(LIMBS)], labels.shape[1]
    xy, height = xy[:, :K], height[:, :K]
    torso = np.linalg.norm(labels[:, 12, :2] - labels[:, 3, :2], axis=-1)
    right = np.linalg.norm(xy - labels[..., :2], axis=-1) < 0.2 * torso[:, None]
    counted = (labels[..., 2] > 0) & (labels[:, 12, 2] > 0)[:, None] & (labels[:, 3, 2] > 0)[:, None]
    h, r = (np.asarray(a)[:, limbs][counted[:, limbs]] for a in (height, right))

    def cost(parameters: NDArray) -> float:
        middle, slope = parameters
        # A weak pull towards a slope of 10 keeps it finite where all joints are right, or none.
        return float(np.logaddexp(0, -slope * (h - middle) * np.where(r, 1, -1)).mean() + 1e-4 * (slope - 10) ** 2)

    middle, slope = minimize(cost, [0.4, 10.0], method="Nelder-Mead").x
    return {"score_middle": round(float(middle), 4), "score_slope": round(float(slope), 3)}


def build_hourglass(
    checkpoint: Path, photographs: Photographs, out: Path, precision: str = "fp32", most: int = _MOST
) -> dict[str, float]:
    """Export a checkpoint, compare it with torch, measure it on people it has not seen, and write its card.

    Args:
        checkpoint: of engines.training.detector.train.
        photographs: those it was trained on; its validation photographs are looked at.
        out: the ONNX file to write, its card beside it. The old ones stay until the new ones are whole.
        precision: "fp32", its large weights stored as fp16; or "fp16", a network of half precision.
        most: photographs to look at, at most.

    Returns:
        The parity report and ``lspet_pck``.

    Raises:
        UserError: if the checkpoint cannot be read, or the file differs too much from torch.
    """
    network, settings = read(checkpoint)
    side, half = int(settings["size"]), precision == "fp16"
    images, labels = crops.validation(photographs, side, most)
    wanted = predict(network, images)
    # Against itself: an untrained network is refused here, and not after its export.
    parity.pixels(*wanted, wanted[0], side).check(precision)
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "built.onnx"
        folded = LastHeatmaps(network, half)
        export(folded, torch.zeros(2, 3, side, side), built, ["image"], ["heatmaps"], store_as_half=not half)
        xy, height = find(runtimes.load(built, runtimes.NetworkOptions("onnx")), images)
        found = parity.pixels(*wanted, xy, side)
        if half:
            # The CPU's ONNX Runtime computes such a file in float32; torch's own half precision shows what it costs.
            found = parity.worse(found, parity.pixels(*wanted, _find_in_torch(folded, images), side))
        found.check(precision)
        values: dict[str, card.Value] = {
            "size": side, "input_name": "image", **meaning(xy, height, labels),
            "lspet_pck": round(pck(xy, labels), 2), **found.report(), "precision": precision,
            "stacks": network.shape.stacks, "features": network.shape.features, **_length(settings),
            "seed": settings.get("seed", 0),
        }  # fmt: skip
        text = card.Text(
            source=f"trained here: {_command(settings)}",
            licence=LICENCE if isinstance(network, StackedHourglass) else ON_THUNDER,
            joints=JOINT_SETS[network.shape.joints],
            input=f"float32 image (batch, 3, {side}, {side}) RGB 0..1, a square around one person",
        )
        card.write(built, text, values)
        card.place(built, out)
    return found.report() | {"lspet_pck": float(values["lspet_pck"])}  # pyright: ignore[reportArgumentType]
