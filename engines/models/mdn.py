"""The mixture density network that lifts a 2D pose to hypotheses of the 3D pose.

Li and Lee, "Generating Multiple Hypotheses for 3D Human Pose Estimation with Mixture Density Network",
CVPR 2019: a linear layer, two residual blocks of two linear layers each, and three heads (section 3.2). Like
the authors' released code, batch norm, ReLU and dropout also follow the first linear layer, and a block has two linear
layers where the text speaks of one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


@dataclass(frozen=True, slots=True)
class MDNShape:
    """What is needed to build the network again; stored in every checkpoint."""

    inputs: int = 54
    """Length of the input vector (see ``engines.lifter.encode``)."""
    joints: int = 16
    """Joints predicted: the 17 without the root."""
    kernels: int = 5
    """M, the number of hypotheses."""
    width: int = 1024
    """Units of a hidden layer."""
    blocks: int = 2
    """Residual blocks."""
    dropout: float = 0.5
    """Probability of a unit being dropped while training."""
    sigma: str = "joint"
    """"joint": one sigma a kernel and joint; "kernel": one a kernel, as in the paper."""
    max_norm: bool = False
    """Whether every weight matrix but that of the mixing coefficients is clipped to norm 1, as in the paper."""


def modified_elu(t: Tensor, gamma: float = 1.0) -> Tensor:
    """The paper's activation for sigma (eq. 7): ``t + 1`` for t >= 0, else ``gamma (exp(t) - 1) + 1``.

    As it stands there it is 0 in float32 for t < -17, and the loss clips that. Written as ``exp(t)`` a training that
    drives a sigma so far down would end in gradients that are not finite.
    """
    return torch.where(t >= 0, t + 1, gamma * torch.expm1(t.clamp(max=0)) + 1)


class MaxNormLinear(nn.Linear):
    """A linear layer that computes with ``W min(1, 1 / |W|)``, the norm being Frobenius's of the whole matrix.

    As the authors do it, the clip is part of the layer and the gradient goes through it: the stored matrix keeps its
    initial norm of about 45. Were it the stored matrix that is clipped, each step of Adam would be as long as it is.
    """

    def clipped(self) -> Tensor:
        """The matrix that is computed with."""
        return self.weight * self._scale()

    def _scale(self) -> Tensor:
        return 1 / torch.linalg.vector_norm(self.weight).clamp(min=1.0)

    def forward(self, input: Tensor) -> Tensor:
        """(B, in) to (B, out)."""
        # The output is scaled and not the matrix: the same, and a step of training costs a third less.
        return linear(input, self.weight) * self._scale() + self.bias


class _Layer(nn.Sequential):
    def __init__(self, inputs: int, width: int, dropout: float, linear: type[nn.Linear]) -> None:
        super().__init__(linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float, linear: type[nn.Linear]) -> None:
        super().__init__()
        self.layers = nn.Sequential(_Layer(width, width, dropout, linear), _Layer(width, width, dropout, linear))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class MDN(nn.Module):
    """2D pose in, parameters of the mixture out, all in the network's normalised units."""

    def __init__(self, shape: MDNShape) -> None:
        super().__init__()
        self.shape = shape
        linear = MaxNormLinear if shape.max_norm else nn.Linear
        self.trunk = nn.Sequential(
            _Layer(shape.inputs, shape.width, shape.dropout, linear),
            *(_Block(shape.width, shape.dropout, linear) for _ in range(shape.blocks)),
        )
        self.mean = linear(shape.width, shape.kernels * shape.joints * 3)
        self.sigma = linear(shape.width, shape.kernels * (shape.joints if shape.sigma == "joint" else 1))
        self.weight = nn.Linear(shape.width, shape.kernels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network.

        Args:
            x: (B, inputs) float32.

        Returns:
            mean (B, M, joints, 3), sigma (B, M, joints) or (B, M, 1), both in units of ``scale_mm``, and the
            logarithm of the mixing coefficients (B, M).
        """
        return self.heads(self.trunk(x))

    def heads(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixture of the trunk's features (B, width). Needs float32: ``exp(t) - 1 + 1`` is 0 in bfloat16."""
        s = self.shape
        mean = self.mean(h).view(-1, s.kernels, s.joints, 3)
        sigma = modified_elu(self.sigma(h)).view(-1, s.kernels, s.joints if s.sigma == "joint" else 1)
        return mean, sigma, torch.log_softmax(self.weight(h), -1)
