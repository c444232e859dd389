"""A causal network over what the lifter said of the frames before: hypotheses that time has made better.

Each frame is a token: the lifter's input and its whole answer. Two layers of attention look back, the nearer one over
`near` frames and the farther one over the rest of the window; attention falls off with the seconds between two frames,
so frames may come at any rate and be missing. The answer is the lifter's hypotheses averaged over time, joint by joint,
once over a shorter and once over a longer past, extrapolated along the difference of the two, plus what the network
adds. At the start of a training it adds nothing.

Attention: Vaswani et al. 2017; biases that are linear in the distance: Press et al. 2022 (ALiBi), here in seconds.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

MAX_AGE_S = 1.0
"""Frames that are older than this are not looked at."""


@dataclass(frozen=True, slots=True)
class TemporalShape:
    """What is needed to build the network again; stored in every checkpoint."""

    kernels: int = 5
    """M, the number of hypotheses: the lifter's."""
    joints: int = 16
    """Joints: the 17 without the root."""
    inputs: int = 54
    """Length of the lifter's input vector."""
    width: int = 192
    """Length of a token."""
    heads: int = 6
    """Of the attention between tokens."""
    hidden: int = 512
    """Width of the layers that make the answer."""
    window: int = 27
    """Frames that an answer depends on."""
    near: int = 9
    """Of them those that the first layer looks at."""


class _Attention(nn.Module):
    """Causal attention whose weights fall off with time."""

    def __init__(self, width: int, heads: int, window: int, decay_s: Tensor) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        # Where to look is at first a matter of time alone.
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        self.rate = nn.Parameter(-torch.log(decay_s))

    def weights(self, looking: Tensor, tokens: Tensor, age: Tensor) -> Tensor:
        """How much each of the last Q frames looks at each frame.

        Args:
            looking: (B, Q, width) tokens of the last frames.
            tokens: (B, L, width) of all.
            age: (B, Q, L) seconds that the second is older by.

        Returns:
            (B, heads, Q, L), summing to 1.
        """
        b, n, width = tokens.shape
        last = age.shape[1]
        q = self.query(looking).view(b, last, self.heads, -1).transpose(1, 2)
        k = self.key(tokens).view(b, n, self.heads, -1).transpose(1, 2)
        logits = q @ k.transpose(2, 3) * (width // self.heads) ** -0.5
        logits = logits - self.rate.exp()[:, None, None] * age[:, None]
        steps = torch.arange(n, device=tokens.device)
        steps = steps[n - last :, None] - steps[None]
        seen = (steps >= 0) & (steps < self.window) & ((age < MAX_AGE_S) | (steps == 0))
        return torch.softmax(logits.masked_fill(~seen[:, None], -1e9), -1)


class _Layer(nn.Module):
    """Attention to earlier tokens, then two linear layers; both added to the token."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = _Attention(width, heads, window, torch.logspace(-1.7, -0.3, heads))
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor, age: Tensor) -> Tensor:
        """Tokens (B, L, width) and ages (B, Q, L), see ``_Attention.weights``, to tokens (B, Q, width)."""
        b, n, width = tokens.shape
        last = age.shape[1]
        normed = self.norms[0](tokens)
        value = self.value(normed).view(b, n, self.attention.heads, -1).transpose(1, 2)
        looked = self.attention.weights(normed[:, n - last :], normed, age) @ value
        tokens = tokens[:, n - last :] + self.out(looked.transpose(1, 2).reshape(b, last, width))
        return tokens + self.down(gelu(self.up(self.norms[1](tokens))))


class TemporalMDN(nn.Module):
    """What the lifter said of a row of frames in, the mixture of every one of them out; none knows of later ones."""

    def __init__(self, shape: TemporalShape) -> None:
        super().__init__()
        self.shape = s = shape
        answer = s.kernels * s.joints * 3
        far = s.window - s.near + 1
        token = s.inputs + answer + s.kernels * s.joints + s.kernels + 5
        self.embed = nn.Linear(token, s.width)
        self.near = _Layer(s.width, s.heads, s.near)
        self.far = _Layer(s.width, s.heads, far)
        self.nearer, self.norm = nn.LayerNorm(s.width), nn.LayerNorm(s.width)
        self.shorter = _Attention(s.width, s.joints, far, torch.full((s.joints,), 0.03))
        self.longer = _Attention(s.width, s.joints, far, torch.full((s.joints,), 0.12))
        self.onwards = nn.Linear(s.width, s.joints)
        added = s.width + 3 * s.joints * 3 + answer
        self.add = nn.Sequential(
            nn.Linear(added, s.hidden), nn.GELU(), nn.Linear(s.hidden, s.hidden), nn.GELU(),
            nn.Linear(s.hidden, answer + s.kernels * s.joints + s.kernels),
        )  # fmt: skip
        for module in (self.onwards, self.add[-1]):
            for parameter in module.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, x: Tensor, mean: Tensor, sigma: Tensor, log_weight: Tensor, rotation: Tensor, t: Tensor, last: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network over L frames, the oldest first.

        Args:
            x: (B, L, inputs) what the lifter was given.
            mean: (B, L, M, joints, 3) what it said, in its units and in the axes of each frame's virtual camera.
            sigma: (B, L, M, joints).
            log_weight: (B, L, M).
            rotation: (B, L, 3, 3) from the virtual camera's axes to the real one's.
            t: (B, L) seconds, ascending; frames that are not there are at least ``MAX_AGE_S`` before the others.
            last: how many frames, the last ones, are to be answered; 0 = all.

        Returns:
            mean, sigma and log_weight like those that were given, of the last frames.
        """
        s, (b, n) = self.shape, t.shape
        last = last or n
        now = slice(n - last, n)
        age = (t[:, :, None] - t[:, None]).clamp(min=0)
        nearer = self.near(self.embed(self._tokens(x, mean, sigma, log_weight, rotation, t)), age)
        age, sigma, log_weight = age[:, now], sigma[:, now], log_weight[:, now]
        tokens = self.norm(self.far(nearer, age))
        nearer = self.nearer(nearer)
        # In the real camera's axes, in which a still camera's frames agree: (B, joints, L, M * 3).
        said = (mean.reshape(b, n, -1, 3) @ rotation.transpose(-1, -2)).view(b, n, s.kernels, s.joints, 3)
        values = said.permute(0, 3, 1, 2, 4).reshape(b, s.joints, n, -1)
        weights = (part.weights(tokens, nearer, age) for part in (self.shorter, self.longer))
        shorter, longer = (
            (w @ values).view(b, s.joints, last, s.kernels, 3).permute(0, 2, 3, 1, 4).reshape(b, last, -1, 3)
            @ rotation[:, now]
            for w in weights
        )
        shorter, longer = (part.view(b, last, s.kernels, s.joints, 3) for part in (shorter, longer))
        onwards = 2 * torch.tanh(self.onwards(tokens))[:, :, None, :, None]
        carried = shorter + onwards * (shorter - longer)
        share = log_weight.exp()[..., None, None]
        middle, middle_before, middle_now = ((share * part).sum(2) for part in (shorter, longer, mean[:, now]))
        parts = (middle, middle - middle_before, middle_now - middle)
        added = self.add(torch.cat([tokens, *(p.flatten(2) for p in parts), carried.flatten(2)], -1))
        sizes = [s.kernels * s.joints * 3, s.kernels * s.joints, s.kernels]
        more, wider, likelier = added.split(sizes, -1)
        return (
            carried + more.view(b, last, s.kernels, s.joints, 3),
            sigma * torch.exp(wider.view(b, last, s.kernels, s.joints).clamp(-3.0, 3.0)),
            torch.log_softmax(log_weight + likelier, -1),
        )

    def _tokens(
        self, x: Tensor, mean: Tensor, sigma: Tensor, log_weight: Tensor, rotation: Tensor, t: Tensor
    ) -> Tensor:
        since = t[:, 1:] - t[:, :-1]
        known = (since < MAX_AGE_S)[..., None].to(x.dtype)
        # The sine of the angle that the view was turned by since the frame before, times its axis.
        turn = rotation[:, :-1].transpose(-1, -2) @ rotation[:, 1:]
        turn = turn - turn.transpose(-1, -2)
        turn = torch.stack([turn[..., 2, 1], turn[..., 0, 2], turn[..., 1, 0]], -1)
        moved = torch.cat([known, known * 10 * since.clamp(max=MAX_AGE_S)[..., None], known * 10 * turn], -1)
        moved = pad(moved, (0, 0, 1, 0))
        return torch.cat([x, mean.flatten(2), sigma.clamp(min=1e-3).log().flatten(2), log_weight, moved], -1)
