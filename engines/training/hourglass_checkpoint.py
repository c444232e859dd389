"""A checkpoint of the hourglass as the detector sees it: an ONNX file with a card, for evaluation before any build."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

import torch

from engines import cards
from engines.models.hourglass import HourglassShape, StackedHourglass
from engines.skeleton import LSP, MPII
from engines.types import EngineError

_JOINT_SETS: Final = {16: MPII.name, 14: LSP.name}
INPUT: Final = "image"


def export(checkpoint: Path, folder: Path) -> Path:
    """Write the averaged weights of a checkpoint as ``hourglass.onnx`` with a card into a folder.

    Args:
        checkpoint: a ``.pt`` with ``settings`` (``size`` and the fields of HourglassShape) and ``averaged``, a state
            dict of StackedHourglass.
        folder: an existing one.

    Returns:
        The ONNX file, for engines.detectors.hourglass.Hourglass.

    Raises:
        EngineError: if the checkpoint is missing or is none of the hourglass.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except OSError as error:
        raise EngineError(f"checkpoint {checkpoint} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # torch.load raises whatever the bytes provoke
        raise EngineError(f"{checkpoint} is not a checkpoint ({error.__class__.__name__})") from error
    try:
        settings, weights = state["settings"], state["averaged"]
        shape = HourglassShape(**{f.name: settings[f.name] for f in fields(HourglassShape) if f.name in settings})
        size, joints = int(settings["size"]), _JOINT_SETS[shape.joints]
        network = StackedHourglass(shape)
        network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EngineError(f"{checkpoint} is not a checkpoint of train_hourglass ({reason})") from error
    path = folder / "hourglass.onnx"
    _write(network.eval(), size, path)
    card = {
        "source": f"checkpoint {checkpoint.name}, not built", "licence": "as the training data's",
        "sha256": cards.digest(path), "joints": joints, "input": f"float32 (1, 3, {size}, {size}) RGB 0..1",
    }  # fmt: skip
    path.with_suffix(".toml").write_text(_toml(card) + f"\n[values]\nsize = {size}\ninput_name = {INPUT!r}\n")
    return path


def _write(network: StackedHourglass, size: int, path: Path) -> None:
    # torch 2.13 warns of a deprecation inside itself, and that it has no torchvision, which nothing here needs.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*treespec.*")
        torch.onnx.export(
            network, (torch.zeros(1, 3, size, size),), str(path), input_names=[INPUT],
            output_names=[f"heatmaps{k}" for k in range(network.shape.stacks)],
            opset_version=20, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip


def _toml(table: Mapping[str, str]) -> str:
    # Quotes and backslashes of a file name would end the string.
    plain = {key: value.replace("\\", "/").replace('"', "'") for key, value in table.items()}
    return "\n".join(f'{key} = "{value}"' for key, value in plain.items()) + "\n"
