"""A stacked hourglass whose first stack is MoveNet Thunder.

Thunder is an encoder and decoder with heatmaps at a quarter of the input, as an hourglass of Newell, Yang and Deng
(ECCV 2016) is. The stacks here follow on it: each is fed the features and the heatmaps of the one before, goes down to
a 32nd and up again, and is supervised at its own heatmaps.

Each adds to Thunder's heatmaps rather than begin anew.

What differs else: a level takes in what the trunk sees at its resolution; most of the work is done at an eighth, which
a CPU likes better than at a quarter; norms follow convolutions, so that all of them can be folded into these.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from engines.models.hourglass import SIGMA
from engines.models.movenet_trunk import CHANNELS, Trunk
from engines.models.movenet_trunk import JOINTS as TRUNK_JOINTS
from engines.skeleton import COCO, LIMBS, MPII

OWN = [*(MPII.source[joint] for joint in LIMBS), *range(16, 21)]
TRUNKS = [*(COCO.source[joint] for joint in LIMBS), *range(5)]
"""Limbs and face among our heatmaps and among the trunk's."""


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """What is needed to build the network again; stored in every checkpoint."""

    stacks: int = 2
    """Hourglasses after the trunk."""
    widths: tuple[int, ...] = (48, 96, 128, 128)
    """Channels at a quarter, an eighth, a sixteenth and a 32nd of the input."""
    joints: int = 25
    """Heatmaps."""

    @property
    def features(self) -> int:
        """Channels at the heatmaps' resolution."""
        return self.widths[0]


def _joined(inputs: int, outputs: int, kernel: int = 1, relu: bool = True, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([nn.ReLU()] if relu else []))


class Residual(nn.Module):
    """A bottleneck (He et al. 2016): 1x1 to half the channels, 3x3, 1x1, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            _joined(channels, half), _joined(half, half, 3), _joined(half, channels, relu=False)
        )  # fmt: skip
        nn.init.constant_(self.body[-1][-1].weight, 0.3)  # pyright: ignore

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        return torch.relu(x + self.body(x))


class Stack(nn.Module):
    """One hourglass: down to a 32nd of the input, with the trunk's features of each resolution, and up again."""

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        w = shape.widths
        self.down = nn.ModuleList(_joined(a, b, 3, relu=False, stride=2) for a, b in zip(w, w[1:], strict=False))
        self.taken = nn.ModuleList(_joined(c, b, relu=False) for c, b in zip(CHANNELS[1:], w[1:], strict=True))
        self.inner = nn.ModuleList(Residual(b) for b in w[1:])
        self.across = nn.ModuleList(Residual(b) for b in w[:-1])
        self.up = nn.ModuleList(_joined(b, a, relu=False) for a, b in zip(w, w[1:], strict=False))
        self.after = nn.ModuleList(Residual(b) for b in w[1:-1])

    def forward(self, x: Tensor, features: list[Tensor]) -> Tensor:
        """X (B, widths[0], S / 4, S / 4) to the same; features: those of the trunk from an eighth on."""
        levels = [x]
        for down, taken, inner, seen in zip(self.down, self.taken, self.inner, features, strict=True):
            levels.append(inner(torch.relu(down(levels[-1]) + taken(seen))))
        y = levels.pop()
        for k in reversed(range(len(levels))):
            y = torch.relu(self.across[k](levels[k]) + interpolate(self.up[k](y), scale_factor=2, mode="nearest"))
            if k:
                y = self.after[k - 1](y)
        return y


def _begin_at(layer: nn.Conv2d) -> nn.Conv2d:
    """Hand the trunk's heatmaps, which are surer than a distribution's logits, to those of the same joints."""
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        for own, trunks in zip(OWN, TRUNKS, strict=True):
            layer.weight[own, trunks] = 0.5
    return layer


class TrunkHourglass(nn.Module):
    """An RGB crop in, a heatmap a joint out of every stack."""

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        self.shape = shape
        F, stacks = shape.widths[0], range(shape.stacks)
        self.trunk = Trunk()
        self.norm = nn.BatchNorm2d(CHANNELS[0] + TRUNK_JOINTS)
        self.begin = _joined(CHANNELS[0] + TRUNK_JOINTS, F)
        self.stacks = nn.ModuleList(Stack(shape) for _ in stacks)
        self.features = nn.ModuleList(_joined(F, F) for _ in stacks)
        self.heads = nn.ModuleList(nn.Conv2d(F, shape.joints, 1) for _ in stacks)
        self.trunks = nn.ModuleList(_begin_at(nn.Conv2d(TRUNK_JOINTS, shape.joints, 1, bias=False)) for _ in stacks)
        self.merge_features = nn.ModuleList(nn.Conv2d(F, F, 1) for _ in stacks[1:])
        self.merge_heatmaps = nn.ModuleList(nn.Conv2d(shape.joints, F, 1) for _ in stacks[1:])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Run the network.

        Args:
            image: (B, 3, S, S) float32 RGB 0..1, S a multiple of 32.

        Returns:
            A (B, joints, S / 4, S / 4) tensor a stack, as those of ``StackedHourglass``.
        """
        return [
            torch.softmax(maps.float().flatten(2), -1).view_as(maps) * (2 * math.pi * SIGMA**2)
            for maps in self.logits(image)
        ]

    def logits(self, image: Tensor) -> list[Tensor]:
        """The same before the softmax over the cells."""
        return self.stacked(self.trunk(image))

    def stacked(self, seen: tuple[Tensor, ...]) -> list[Tensor]:
        """The logits out of what the trunk has seen, ``Features``."""
        quarter, eighth, sixteenth, last, maps = seen
        x = self.begin(self.norm(torch.cat([quarter, maps], 1)))
        heatmaps = []
        for i, stack in enumerate(self.stacks):
            y = self.features[i](stack(x, [eighth, sixteenth, last]))
            heatmaps.append(self.heads[i](y) + self.trunks[i](maps))
            if i + 1 < len(self.stacks):
                x = torch.relu(x + self.merge_features[i](y) + self.merge_heatmaps[i](heatmaps[-1]))
        return heatmaps
