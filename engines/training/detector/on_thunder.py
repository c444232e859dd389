"""The stacked hourglass on MoveNet Thunder while it is trained: its settings, the part that is fixed, a step."""

import dataclasses
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines import cards
from engines.detectors.hourglass import MIRRORS, decode
from engines.models.hourglass import STRIDE
from engines.models.movenet_trunk import SIDE, Features, Trunk
from engines.models.trunk_hourglass import OWN, TRUNKS, TrunkHourglass, TrunkShape
from engines.skeleton import MPII_FACE_FEET
from engines.training.checkpoints import average_weights, restore, save
from engines.training.detector import augment_people
from engines.training.detector.crops import Crops
from engines.training.detector.train import heatmap_loss, share_of_rate, targets


@dataclass(frozen=True, slots=True)
class OnThunderSettings:
    """Everything that decides the outcome of a training; stored in the checkpoint."""

    stacks: int = 2
    # the length
    minutes: float = 90.0  # of the clock: a shared machine does more crops in them or fewer
    frozen: float = 1.0  # share of it during which the trunk stays as it is
    repeats: int = 2  # of the people of every set but the first
    # the optimiser
    batch: int = 8
    rate: float = 1.5e-3
    trunk_rate: float = 0.01  # the trunk's, as a share of it
    trunk_loss: float = 0.0  # weight of the trunk's own heatmaps, once it is trained
    deep_rate: float = 0.0  # of the trunk's deepest blocks from the start, in sizes (RMS) of each weight
    beyond: float = 0.0  # weight of what lies further from a joint than 0.2 torsos
    warm_up: float = 0.02  # share of the training; then a cosine to zero
    weight_decay: float = 1e-4
    clip: float = 20.0  # norm of the gradient
    average: float = 0.995  # decay of the averaged weights, which are what is shipped
    seed: int = 0


_EDGE = 0.35
"""Cells over which the edge of what is near a joint is soft."""
RISE = 0.03
"""Share of the training over which the trunk's rate rises."""
SETTLE_ON = 160
"""Crops that the norms of the averaged weights are measured on."""
MIRROR = MIRRORS[MPII_FACE_FEET.name]


class FixedPart:
    """What of the trunk is not trained, in ONNX Runtime: eight times as fast as in torch on a CPU.

    Args:
        trunk: the trunk.
        whole: all of it, or a part.
        threads: of ONNX Runtime.
        deep: of a part, whether it is all but the deepest blocks, or the early one alone.
    """

    def __init__(self, trunk: Trunk, whole: bool, threads: int, deep: bool = False) -> None:
        self._trunk, self._whole, self._deep = trunk, whole, deep
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        names = Features._fields if whole else ("second", "fifth", "ninth", "twelfth") if deep else ("second", "third")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "fixed.onnx"
            part = trunk if whole else _Part(trunk, deep)
            with warnings.catch_warnings():
                # torch 2.13 warns of a deprecation inside itself.
                warnings.filterwarnings("ignore", category=FutureWarning, message=".*treespec.*")
                torch.onnx.export(
                    part.eval(), (torch.zeros(2, 3, SIDE, SIDE),), str(path), input_names=["image"], output_names=names,
                    dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1 << 20)},), opset_version=20, dynamo=True,
                    external_data=False, verbose=False,
                )  # fmt: skip
            self._session = onnxruntime.InferenceSession(path.read_bytes(), options)

    def __call__(self, images: NDArray[np.uint8], trunk: Trunk | None = None) -> Features:
        """What the trunk sees in crops (B, S, S, 3) RGB; the rest of it is that of ``trunk``."""
        image = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
        last = torch.channels_last
        found = [
            torch.from_numpy(np.asarray(part)).contiguous(memory_format=last)
            for part in self._session.run(None, {"image": image})
        ]
        if self._whole:
            return Features(*found)
        trunk = trunk or self._trunk
        return trunk.deep(*found) if self._deep else trunk.late(*found)


class _Part(nn.Module):
    def __init__(self, trunk: Trunk, deep: bool) -> None:
        super().__init__()
        self.trunk, self.deep = trunk, deep

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        early = self.trunk.early(image)
        return self.trunk.middle(*early) if self.deep else early


def draw(people: Crops, rows: Sequence[int], rng: np.random.Generator) -> tuple[NDArray[np.uint8], Tensor, Tensor]:
    """Augmented crops (B, S, S, 3) of these people, joints (B, K, 2) in pixels from the edge, weights (B, K)."""
    drawn = []
    for row in rows:
        other = people.images[rng.integers(len(people.images))]
        drawn.append(
            augment_people.augment(people.images[row], people.xy[row], people.weight[row], SIDE, MIRROR, other, rng)
        )
    images, xy, weight = (np.stack(part) for part in zip(*drawn, strict=True))
    return images, torch.from_numpy(xy.astype(np.float32)), torch.from_numpy(weight.astype(np.float32))


@torch.inference_mode()
def predict(network: TrunkHourglass, fixed: FixedPart, images: NDArray[np.uint8]) -> tuple[NDArray, NDArray]:
    """Joints (N, K, 2) in pixels from the edge, and heights of their peaks (N, K), of crops (N, S, S, 3) RGB."""
    network.eval()
    xy, score = [], []
    for start in range(0, len(images), 16):
        logits = network.stacked(fixed(images[start : start + 16], network.trunk))[-1]
        for maps in torch.softmax(logits.flatten(2), -1).view_as(logits).numpy():
            uv, height = decode(maps)
            xy.append(uv * images.shape[1])
            score.append(height)
    return np.array(xy), np.array(score)


@torch.no_grad()
def settle_norms(network: TrunkHourglass, fixed: FixedPart, people: Crops, batch: int) -> None:
    """Measure the statistics of the norms of averaged weights on augmented crops."""
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of what follows
    network.train()
    rng = np.random.default_rng(0)
    for _ in range(max(SETTLE_ON // batch, 1)):
        images, _, _ = draw(people, rng.integers(len(people.xy), size=batch).tolist(), rng)
        network.stacked(fixed(images, network.trunk))


def copied(network: TrunkHourglass) -> TrunkHourglass:
    """Another of the same weights."""
    copy = TrunkHourglass(network.shape)
    copy.load_state_dict(network.state_dict())
    copy.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return copy


def loss_of(seen: Features, logits: list[Tensor], xy: Tensor, weight: Tensor, settings: OnThunderSettings) -> Tensor:
    """Cross-entropy of the heatmaps of every stack, the trunk's as the first."""
    wanted = targets(xy / STRIDE, logits[-1].shape[-1])
    loss = heatmap_loss(logits, wanted, weight)
    if settings.beyond:
        loss = loss + settings.beyond * beyond(logits, xy / STRIDE, weight)
    if settings.trunk_loss and seen.heatmaps.requires_grad:
        loss = loss + settings.trunk_loss * heatmap_loss([seen.heatmaps[:, TRUNKS]], wanted[:, OWN], weight[:, OWN])
    return loss


def beyond(logits: list[Tensor], xy: Tensor, weight: Tensor) -> Tensor:
    """The share of each heatmap that lies further than 0.2 torsos from its joint: what PCK counts, summed over stacks.

    Cross-entropy asks for a Gaussian about every label, of which a wrong one costs without bound; this no more than 1.

    Args:
        logits: (B, K, C, C) of every stack.
        xy: (B, K, 2) joints, cells from the edge.
        weight: (B, K).
    """
    hip, shoulder = 3, 12
    torso = (xy[:, shoulder] - xy[:, hip]).norm(dim=-1)
    known = (weight[:, shoulder] > 0) & (weight[:, hip] > 0)
    reach = torch.where(known, 0.2 * torso, 3.0).clamp(2.0, 5.0)[:, None, None, None]
    centre = torch.arange(logits[-1].shape[-1]) + 0.5
    apart = ((centre[:, None] - xy[..., 1, None, None]) ** 2 + (centre - xy[..., 0, None, None]) ** 2).sqrt()
    disc = torch.sigmoid((reach - apart) / _EDGE).flatten(2)
    shares = [(torch.softmax(out.float().flatten(2), -1) * disc).sum(-1) for out in logits]
    return torch.stack([((1 - share) * weight).mean() for share in shares]).sum()


class Training:
    """A network that is being trained, and all that goes into a checkpoint."""

    def __init__(
        self, settings: OnThunderSettings, state: dict | None, threads: int, begin_with: dict | None = None
    ) -> None:
        self.settings = settings
        torch.set_num_threads(threads)
        torch.manual_seed(settings.seed)
        torch.set_flush_denormal(True)
        self.network = TrunkHourglass(TrunkShape(settings.stacks))
        self.network.trunk.load_thunder(cards.WEIGHTS / "movenet_thunder.onnx")
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        origin = ""
        if begin_with:
            origin = f"stacks of a training of {begin_with['elapsed'] / 60:.0f} minutes, {begin_with['step']} steps"
            own = {k: v for k, v in begin_with["averaged"].items() if settings.deep_rate or not k.startswith("trunk.")}
            self.network.load_state_dict(own, strict=False)
        self.averaged = copied(self.network)
        own = [p for name, p in self.network.named_parameters() if not name.startswith("trunk.")]
        groups: list[dict] = [{"params": own}]
        self._deep: list[float] = []
        """Rates of the weights of the trunk's deepest blocks, as shares of the others'."""
        if settings.deep_rate:
            self.network.trunk.requires_grad_(False)
            # Its norms are folded, so that its weights are of very different sizes: each moves by shares of its own.
            for weights in self.network.trunk.deep_parameters():
                size = max(float(weights.detach().square().mean().sqrt()), 1e-3)
                self._deep.append(settings.deep_rate * size / settings.rate)
                groups.append({"params": [weights.requires_grad_()], "weight_decay": 0.0})
        else:
            groups.append({"params": self.network.trunk.late_parameters()})
        self.optimiser = torch.optim.AdamW(groups, settings.rate, weight_decay=settings.weight_decay, fused=True)
        self.seconds, self.step = 0.0, 0
        if state:
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            restore(self.optimiser, state["optimiser"], settings.weight_decay)
            for group in self.optimiser.param_groups[1:] if settings.deep_rate else ():
                group["weight_decay"] = 0.0
            self.seconds, self.step = state["elapsed"], state["step"]
        self.origin = state.get("origin", "") if state else origin
        whole = settings.frozen >= 1 and not settings.deep_rate
        self.fixed = FixedPart(self.network.trunk, whole, threads, deep=settings.deep_rate > 0)

    @property
    def done(self) -> float:
        """Share of the training that is over."""
        return self.seconds / (60 * self.settings.minutes)

    def learn(self, images: NDArray[np.uint8], xy: Tensor, weight: Tensor) -> float:
        """One step on a batch, of ``draw``; returns its loss."""
        settings, done = self.settings, self.done
        tuned = done >= settings.frozen or settings.deep_rate > 0
        # Adam has not seen these weights before: their first steps are small.
        rising = min(max(done - settings.frozen, 0) / RISE, 1)
        shares = [1.0, *(self._deep or [settings.trunk_rate * rising])]
        for group, share in zip(self.optimiser.param_groups, shares, strict=True):
            group["lr"] = settings.rate * share * share_of_rate(settings.warm_up, done)
        self.network.train()
        with torch.set_grad_enabled(tuned):
            seen = self.fixed(images)
        loss = loss_of(seen, self.network.stacked(seen), xy, weight, settings)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimiser.step()
        # Early in a training an average over many steps is mostly the initial weights.
        decay = min(settings.average, (self.step + 1) / (self.step + 10))
        average_weights(self.averaged, self.network, decay)
        self.step += 1
        return loss.item()

    def settled(self, people: Crops) -> TrunkHourglass:
        """The averaged network, its norms measured."""
        network = copied(self.averaged)
        settle_norms(network, self.fixed, people, self.settings.batch)
        return network

    def save(self, out: Path, averaged: TrunkHourglass, score: float | None) -> None:
        """Write the checkpoint."""
        save(
            out / "checkpoint.pt", settings=dataclasses.asdict(self.settings), network=self.network.state_dict(),
            averaged=averaged.state_dict(), optimiser=self.optimiser.state_dict(), elapsed=self.seconds,
            step=self.step, pck=score, origin=self.origin,
        )  # fmt: skip
