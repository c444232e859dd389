"""The stacked hourglass that finds 2D joints.

Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016: a stem that goes down to a
quarter of the input, then stacks of an encoder and decoder with skip connections at every resolution, each with
heatmaps of its own that are supervised and fed back into the next.

What differs: a map is a distribution over the cells, trained by cross-entropy; theirs is by squared error.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

STRIDE = 4
"""Pixels of the input a cell of the heatmaps."""
SIGMA = 1.25
"""Standard deviation of the Gaussians it is trained on, cells."""


@dataclass(frozen=True, slots=True)
class HourglassShape:
    """What is needed to build the network again; stored in every checkpoint."""

    stacks: int = 2
    """S, the number of hourglasses."""
    features: int = 256
    """F, the channels between modules; a bottleneck has half of them."""
    joints: int = 16
    """Heatmaps."""
    depth: int = 4
    """How many times an hourglass halves the resolution (as often as the size allows, rounding up)."""


class Residual(nn.Module):
    """A pre-activation bottleneck (He et al. 2016): 1x1 to half the channels, 3x3, 1x1, each after a norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, half, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.norm3, self.conv3 = nn.BatchNorm2d(half), nn.Conv2d(half, outputs, 1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        y = self.conv1(torch.relu(self.norm1(x)))
        y = self.conv2(torch.relu(self.norm2(y)))
        y = self.conv3(torch.relu(self.norm3(y)))
        return y + self.skip(x)


class HourglassStack(nn.Module):
    """One encoder and decoder: at each of ``depth`` resolutions a residual module down, one up and one across."""

    def __init__(self, depth: int, features: int) -> None:
        super().__init__()
        self.across = Residual(features, features)
        self.down = Residual(features, features)
        self.inner = HourglassStack(depth - 1, features) if depth > 1 else Residual(features, features)
        self.up = Residual(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, h, w) to the same; odd sizes are halved rounding up."""
        low = self.up(self.inner(self.down(max_pool2d(x, 2, ceil_mode=True))))
        return self.across(x) + interpolate(low, size=x.shape[2:], mode="nearest")


class StackedHourglass(nn.Module):
    """An RGB crop in, a heatmap a joint out of every stack."""

    def __init__(self, shape: HourglassShape) -> None:
        super().__init__()
        self.shape = shape
        F, half = shape.features, shape.features // 2
        first = max(F // 4, 16)
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
            Residual(first, half), nn.MaxPool2d(2, ceil_mode=True), Residual(half, half), Residual(half, F),
        )  # fmt: skip
        self.hourglasses = nn.ModuleList(HourglassStack(shape.depth, F) for _ in range(shape.stacks))
        self.after = nn.ModuleList(
            nn.Sequential(
                Residual(F, F), nn.BatchNorm2d(F), nn.ReLU(),
                nn.Conv2d(F, F, 1, bias=False), nn.BatchNorm2d(F), nn.ReLU(),
            )
            for _ in range(shape.stacks)
        )  # fmt: skip
        self.heads = nn.ModuleList(nn.Conv2d(F, shape.joints, 1) for _ in range(shape.stacks))
        self.merge_features = nn.ModuleList(nn.Conv2d(F, F, 1) for _ in range(shape.stacks - 1))
        self.merge_heatmaps = nn.ModuleList(nn.Conv2d(shape.joints, F, 1) for _ in range(shape.stacks - 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Run the network.

        Args:
            image: (B, 3, H, W) float32 RGB 0..1, any size of at least 64.

        Returns:
            A (B, joints, ceil(H / 4), ceil(W / 4)) tensor a stack: where each joint is, as a distribution over the
            cells, times the area of a Gaussian of SIGMA: about 1 at a joint that is sure, less where it is not.
        """
        return [
            torch.softmax(maps.float().flatten(2), -1).view_as(maps) * (2 * math.pi * SIGMA**2)
            for maps in self.logits(image)
        ]

    def logits(self, image: Tensor) -> list[Tensor]:
        """The same before the softmax over the cells: what the loss wants, and what the next stack is fed."""
        x = self.stem(image - 0.5)
        heatmaps = []
        for i, hourglass in enumerate(self.hourglasses):
            features = self.after[i](hourglass(x))
            heatmaps.append(self.heads[i](features))
            if i + 1 < len(self.hourglasses):
                x = x + self.merge_features[i](features) + self.merge_heatmaps[i](heatmaps[-1])
        return heatmaps
