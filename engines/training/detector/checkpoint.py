"""A checkpoint of the hourglass as the detector, run by torch: for evaluation before anything is built."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from engines.detectors.hourglass import Hourglass
from engines.models.hourglass import HourglassShape, StackedHourglass
from engines.models.movenet_trunk import SIDE
from engines.models.trunk_hourglass import TrunkHourglass, TrunkShape
from engines.runtimes import Open
from engines.skeleton import LSP, MPII, MPII_FACE_FEET
from engines.training.checkpoints import brief, load_checkpoint
from engines.types import EngineError, Runtime

Network = StackedHourglass | TrunkHourglass
JOINT_SETS: Final = {16: MPII.name, 14: LSP.name, 25: MPII_FACE_FEET.name}
"""Name of the joint set of so many heatmaps."""


class TorchNetwork:
    """A network of heatmaps as a runtime, on the GPU where there is one."""

    def __init__(self, network: Network, name: str) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network, self._name = network.eval().to(self._device), name

    @torch.inference_mode()
    def __call__(self, **arrays: NDArray) -> dict[str, NDArray]:
        """The input ``image`` (1, 3, S, S) float32 in, a heatmap a stack out."""
        (image,) = arrays.values()
        outputs = self._network(torch.from_numpy(np.ascontiguousarray(image)).to(self._device))
        return {f"heatmaps{k}": heatmaps.float().cpu().numpy() for k, heatmaps in enumerate(outputs)}

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on."""
        ran = {"runtime": f"torch {torch.__version__}", "device": self._device, "model": self._name, "sha256": ""}
        return ran | ({"threads": str(torch.get_num_threads())} if self._device == "cpu" else {})


def rebuild(state: Any, checkpoint: Path) -> tuple[Network, int]:
    """The averaged network of what a checkpoint holds, and the side of its input in pixels.

    Raises:
        EngineError: if it is none of the hourglass.
    """
    try:
        settings = state["settings"]
        on_trunk = "trunk_rate" in settings
        kind = TrunkShape if on_trunk else HourglassShape
        shape = kind(**{f.name: settings[f.name] for f in fields(kind) if f.name in settings})
        size = SIDE if on_trunk else int(settings["size"])
        if shape.joints not in JOINT_SETS:
            raise ValueError(f"{shape.joints} joints")
        network = TrunkHourglass(shape) if isinstance(shape, TrunkShape) else StackedHourglass(shape)
        network.load_state_dict(state["averaged"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise EngineError(f"{checkpoint} is not a checkpoint of the hourglass ({brief(error)})") from error
    return network, size


def load(checkpoint: Path, scratch: Path, open_network: Open, threads: int) -> Hourglass:
    """The detector with the averaged weights of a checkpoint.

    Args:
        checkpoint: a ``.pt`` with ``settings`` (``size`` and fields of HourglassShape) and ``averaged``, a state dict
            of StackedHourglass.
        scratch: an empty folder that exists, for the card that every detector wants.
        open_network: for the network that finds the person.
        threads: of torch, from now on and for everything; 0 = as many as it likes.

    Raises:
        UserError: if the checkpoint is missing or is none of the hourglass.
    """
    if threads:
        torch.set_num_threads(threads)
    network, size = rebuild(load_checkpoint(checkpoint), checkpoint)
    joints = JOINT_SETS[network.shape.joints]
    weights, run = scratch / "checkpoint.onnx", TorchNetwork(network, checkpoint.name)
    card = 'source = "a checkpoint"\nlicence = ""\nsha256 = ""\ninput = ""\n'
    weights.with_suffix(".toml").write_text(card + f'joints = "{joints}"\n\n[values]\nsize = {size}\n')

    def opened(path: Path) -> Runtime:
        return run if path == weights else open_network(path)

    return Hourglass(weights, opened)
