"""The lifter of several frames: what one frame's lifter said of a person, made better by what it said before.

A person in a camera has a ``Past``: what the lifter was given and said, at the frames' own times. Each new frame goes
into it, and the answer depends on the last ``window`` frames of it that are no older than a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from calibration import text
from calibration.arrays import Array
from engines import cards, runtimes
from engines.lifter import INPUTS, Decoding, MDNLifter, decode, encode
from engines.runtimes import NetworkOptions
from engines.types import EngineError, LifterInput, Mixture, Runtime

SHIPPED_TEMPORAL: Final = cards.WEIGHTS / "temporal.onnx"
"""Used with the lifter that is shipped."""
JOINTS: Final = "h36m17 without the root, several frames"
LONG_AGO: Final = -1e3
"""Seconds at which frames are that there never were; see ``TemporalMDN.forward``."""
PARTS: Final = ("x", "said_mean", "said_sigma", "said_log_weight", "rotation", "t")
"""The network's inputs, each (N, window, ...)."""
_LEAST_WEIGHT: Final = 1e-12


class Past:
    """One person in one camera: the frames that the next answer may depend on.

    Args:
        window: how many.
        kernels: M of the lifter.
        gap_s: after a longer time without the person nothing is known of what came before.
    """

    def __init__(self, window: int, kernels: int, gap_s: float = 0.5) -> None:
        self._gap_s = gap_s
        self.x = np.zeros((window, INPUTS), np.float32)
        self.said_mean = np.zeros((window, kernels, 16, 3), np.float32)
        self.said_sigma = np.ones((window, kernels, 16), np.float32)
        self.said_log_weight = np.full((window, kernels), -np.log(kernels), np.float32)
        self.rotation = np.tile(np.eye(3, dtype=np.float32), (window, 1, 1))
        self._t = np.full(window, -np.inf)

    def reset(self) -> None:
        """Forget the person: the next frame is the first."""
        self._t[:] = -np.inf

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return int(np.isfinite(self._t).sum())

    def add(self, t: float, given: LifterInput, said: Mixture, decoding: Decoding) -> None:
        """Take the frame at t seconds; one that is not after the last one, or long after, is the first of a new past.

        Args:
            t: seconds.
            given: what the lifter was given.
            said: what it said, as ``decoding`` decoded it.
            decoding: the lifter's.
        """
        if not 0 < t - self._t[-1] <= self._gap_s:
            self.reset()
        R = given.R_virtual_to_camera
        log_weight = np.log(np.maximum(said.weight, _LEAST_WEIGHT)) * decoding.temperature
        values = (
            (self.x, encode(given.xy, given.seen, np.asarray(given.pitch))),
            (self.said_mean, said.mean[:, 1:] @ R / decoding.scale_mm),
            (self.said_sigma, said.sigma[:, 1:] / (decoding.scale_mm * decoding.sigma_scale)),
            (self.said_log_weight, log_weight - np.logaddexp.reduce(log_weight)),
            (self.rotation, R),
            (self._t, t),
        )
        for kept, value in values:
            kept[:-1] = kept[1:]
            kept[-1] = value

    @property
    def t(self) -> Array:
        """(window,) float32 seconds, 0 for the newest frame."""
        known = np.isfinite(self._t)
        since = np.full(len(self._t), LONG_AGO)
        since[known] = self._t[known] - self._t[-1]
        return since.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A person in a camera at a moment."""

    past: Past
    t: float
    """Seconds."""
    given: LifterInput
    said: Mixture
    """By the lifter of one frame."""


class TemporalLifter:
    """A network over the frames before, behind a runtime; on top of a lifter.

    Args:
        lifter: says what single frames show.
        path: ONNX file with its card beside it; None for the one that is shipped.
        options: what executes it; its number of threads is not asked.

    Raises:
        EngineError: if the weights are missing, damaged, of another kind or made for another lifter, or the runtime is
            not there.
    """

    def __init__(
        self, lifter: MDNLifter, path: Path | None = None, options: NetworkOptions = NetworkOptions(precision="auto")
    ) -> None:
        path = path or SHIPPED_TEMPORAL
        card = cards.load_card(path)
        if card.joints != JOINTS:
            raise EngineError(f"{path} is no temporal lifter: its card says joints = {text.shown(card.joints)}, "
                              f"not {JOINTS!r}")  # fmt: skip
        if not _fits(card, lifter):
            raise EngineError(f"{path} was made for another lifter than {lifter.path}: every lifter needs its own")
        self.decoding = Decoding(
            lifter.decoding.scale_mm,
            cards.number(card, "sigma_scale", 1e-3, 1e3),
            cards.number(card, "temperature", 1e-3, 1e3),
        )
        self.window = int(cards.number(card, "window", 2, 1000))
        self._lifter = lifter
        self._runtime: Runtime = runtimes.load(path, runtimes.fitting(path, replace(options, threads=1)))
        m, window = lifter.kernels, self.window
        runtimes.expect(
            self._runtime,
            f"{path} is not the temporal lifter that its card describes",
            _batch([Past(window, m)]),
            {"mean": (1, m, 16, 3), "sigma": (1, m, 16), "log_weight": (1, m)},
        )

    def past(self, gap_s: float = 0.5) -> Past:
        """Of somebody who was not seen before."""
        return Past(self.window, self._lifter.kernels, gap_s)

    def __call__(self, sights: Sequence[Sight]) -> list[Mixture]:
        """One mixture each, in one batch; each goes into its past. Of a first frame the lifter's own answer stays."""
        for sight in sights:
            sight.past.add(sight.t, sight.given, sight.said, self._lifter.decoding)
        out = [sight.said for sight in sights]
        if later := [k for k, sight in enumerate(sights) if sight.past.frames > 1]:
            said = self._runtime(**_batch([sights[k].past for k in later]))
            R = np.stack([sights[k].given.R_virtual_to_camera for k in later])
            parts = decode(said["mean"], said["sigma"], said["log_weight"], R, self.decoding)
            for k, *part in zip(later, *parts, strict=True):
                out[k] = Mixture(*part)
        return out

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on."""
        return self._runtime.describe()

    def named(self) -> dict[str, str]:
        """What a recording says of it beside the lifter: ``temporal`` and ``temporal_sha256``."""
        said = self.describe()
        return {"temporal": said["model"], "temporal_sha256": said["sha256"]}


def made_for(path: Path, lifter: MDNLifter) -> bool:
    """Whether a temporal lifter, by its card, is one for this lifter.

    Raises:
        EngineError: if its card is missing or damaged.
    """
    return _fits(cards.load_card(path), lifter)


def _fits(card: cards.Card, lifter: MDNLifter) -> bool:
    return card.values.get("lifter") == lifter.sha256


def _batch(pasts: Sequence[Past]) -> dict[str, Array]:
    return {name: np.stack([getattr(past, name) for past in pasts]) for name in PARTS}
