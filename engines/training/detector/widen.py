"""Begin with a trained narrower hourglass instead of with noise.

Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016: every channel is
copied, and what reads the copies shares its weight out among them, so that the wider network computes what the narrower
did.
"""

import dataclasses

import torch
from torch import Tensor

from calibration.errors import UserError
from engines.models.hourglass import StackedHourglass

SHARE_OUT = 1.0
"""How unevenly a weight is shared out among the copies it reads, in root mean squares of the weights. Evenly, copies
would get equal gradients and stay copies."""
_LEAST = 64
"""Features below which the stem is wider than a fourth of them, so that not all channels are copied alike."""


@torch.no_grad()
def widened(narrow: StackedHourglass, features: int, seed: int = 0) -> StackedHourglass:
    """A wider hourglass that computes the same.

    Args:
        narrow: the one to copy.
        features: channels of the wider one, a multiple of those of ``narrow``.
        seed: of the sharing out.

    Returns:
        The wider one, of as many stacks and joints.

    Raises:
        UserError: if ``features`` is no multiple, or the narrow one's stem has no fourth of its features.
    """
    before = narrow.shape.features
    if features % before or features == before:
        raise UserError(f"--widen: {features} features are no multiple of the {before} there are")
    if before < _LEAST or before % 4:
        raise UserError(
            f"--widen: the network to copy has {before} features; it works from {_LEAST} up, a multiple of 4"
        )
    wide = StackedHourglass(dataclasses.replace(narrow.shape, features=features))
    generator = torch.Generator().manual_seed(seed)
    old = narrow.state_dict()
    wide.load_state_dict({name: _copied(old[name], like, generator) for name, like in wide.state_dict().items()})
    return wide


def _copied(tensor: Tensor, like: Tensor, generator: torch.Generator) -> Tensor:
    copies = [new // old for new, old in zip(like.shape, tensor.shape, strict=True)]
    repeated = tensor.repeat(copies) if copies else tensor.clone()
    if tensor.ndim < 2 or copies[1] == 1:
        return repeated
    readers = copies[1]
    uneven = torch.randn(repeated.shape, generator=generator)
    # (outputs, copies, inputs, ...): what one copy is read more, the others are read less.
    grouped = uneven.unflatten(1, (readers, -1))
    uneven = (grouped - grouped.mean(1, keepdim=True)).flatten(1, 2)
    return (repeated + SHARE_OUT * tensor.square().mean().sqrt() * uneven) / readers
