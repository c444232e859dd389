"""What the training scripts share: checkpoints that survive a crash, settings, averaged weights, the precision."""

import dataclasses
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from calibration import writing
from calibration.errors import UserError

_Settings = TypeVar("_Settings")


def save(path: Path, **state: object) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one."""
    with writing.aside(path) as part:
        torch.save(state, part)


def load_checkpoint(path: Path) -> dict:
    """Read a checkpoint.

    Raises:
        UserError: if it is missing or is not one.
    """
    try:
        if kind := writing.special(path):
            raise UserError(f"checkpoint {path} cannot be read: it is {kind}")
        with warnings.catch_warnings():
            # What torch warns of before it fails is said below, in one line.
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except OSError as error:
        raise UserError(f"checkpoint {path} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # torch.load raises whatever the bytes provoke
        raise UserError(f"{path} is not a checkpoint ({error.__class__.__name__})") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} is not a checkpoint of this project: it holds a {type(state).__name__}")
    return state


def begin(out: Path, resume: bool) -> dict | None:
    """The checkpoint in ``out`` that a training goes on from; None for a new one.

    Raises:
        UserError: if there is none to resume, it is not one, or a new training would overwrite it.
    """
    checkpoint = out / "checkpoint.pt"
    if resume:
        if not checkpoint.exists() and not out.is_file():
            raise UserError(f"there is no checkpoint {checkpoint}; train without --resume first")
        return load_checkpoint(checkpoint)
    if checkpoint.exists():
        raise UserError(f"{out} holds a training already: go on with it with --resume, or give another --out")
    return None


def resumed(
    kind: type[_Settings], state: dict, changes: dict[str, object], out: Path, training: str, holds: Iterable[str]
) -> tuple[_Settings, _Settings]:
    """The settings of the checkpoint in ``out``, as they are and with changes.

    Args:
        kind: the dataclass of the settings.
        state: what the checkpoint holds.
        changes: fields of the settings that --resume was given.
        out: folder of the checkpoint.
        training: whose checkpoint it is to be, in words.
        holds: what a checkpoint of it has besides.

    Raises:
        UserError: if it is of another script.
    """
    try:
        kept = kind(**state["settings"])
        settings = kind(**state["settings"] | changes)
        for name in holds:
            state[name]
    except (KeyError, TypeError) as error:
        raise UserError(f"{out / 'checkpoint.pt'} is not a checkpoint of {training} ({error})") from error
    return kept, settings


def check_least(settings: Any, least: Mapping[str, float]) -> None:
    """Refuse settings, a dataclass, below the least that makes sense.

    Raises:
        UserError: naming the flag.
    """
    for name, bound in least.items():
        # NaN is not below it, and is refused too.
        if not (value := getattr(settings, name)) >= bound:
            raise UserError(f"--{name.replace('_', '-')} {value}: it is {bound} at least")


def restore(optimiser: torch.optim.Optimizer, state: dict, weight_decay: float) -> None:
    """Bring an optimiser back to a checkpoint's state, but for the weight decay, which --resume may have changed."""
    optimiser.load_state_dict(state)
    for group in optimiser.param_groups:
        group["weight_decay"] = weight_decay


def flags(settings: Any, defaults: Any) -> str:
    """The flags that make the settings of a training, a dataclass, out of the defaults; but for the precision."""
    words = []
    for f in dataclasses.fields(settings):
        if (value := getattr(settings, f.name)) != getattr(defaults, f.name) and f.name != "precision":
            flag = f.name.replace("_", "-")
            words.append(f" --{'' if value else 'no-'}{flag}" if isinstance(value, bool) else f" --{flag} {value}")
    return "".join(words)


def brief(error: Exception) -> str:
    """What a library says of a checkpoint that does not fit, short enough for one line."""
    return " ".join(str(error).split())[:120]


@torch.no_grad()
def average_weights(averaged: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, and of the running statistics of batch norm.

    The last statistics are of some ten batches: of the lifter's they moved the errors by 0.5 to 2 mm up and down.
    """
    for a, b in zip(averaged.parameters(), network.parameters(), strict=True):
        a.lerp_(b, 1 - decay)
    for a, b in zip(averaged.buffers(), network.buffers(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - decay)
        else:
            a.copy_(b)


def fastest_precision() -> str:
    """Time a matrix product in both: with AMX or on a GPU bfloat16 is 3 to 7 times faster, without it is slower."""
    seconds = {}
    for name in ("float32", "bfloat16"):
        a = torch.ones(512, 1024, dtype=getattr(torch, name))
        for _ in range(4):
            start = time.perf_counter()
            _ = a @ a.T @ a
            seconds[name] = time.perf_counter() - start
    return min(seconds, key=seconds.__getitem__)
