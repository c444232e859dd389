"""How far what was built is from what it was built from, on real inputs; and how far it may be."""

from dataclasses import astuple, dataclass
from typing import Final, TypeVar

import numpy as np

from calibration.arrays import Array
from calibration.errors import UserError


@dataclass(frozen=True, slots=True)
class Limit:
    """Above which differences a build of the lifter is refused."""

    mean_mm: float
    """Mean distance of a hypothesis' joint."""
    max_sigma: float
    """Largest distance, in standard deviations (an axis) that the network itself gives that joint."""


LIMITS: Final = {"fp32": Limit(0.5, 0.1), "fp16": Limit(1.0, 0.25), "int8": Limit(3.0, 0.5)}
"""By precision. Where the network says that it knows a joint to a metre, some centimetres are nothing: so sigmas."""


@dataclass(frozen=True, slots=True)
class Millimetres:
    """Distances between the joints of two sets of hypotheses."""

    max_mm: float
    """Largest."""
    mean_mm: float
    """Mean."""
    p99_mm: float
    """99 of 100 are below it."""
    max_sigma: float
    """Largest, in the standard deviations that the original gives each joint."""

    def report(self) -> dict[str, float]:
        """As the card names them."""
        return {
            "parity_max_mm": round(self.max_mm, 3), "parity_mean_mm": round(self.mean_mm, 3),
            "parity_p99_mm": round(self.p99_mm, 3), "parity_max_sigma": round(self.max_sigma, 4),
        }  # fmt: skip

    def check(self, precision: str) -> None:
        """Refuse what is too far.

        Raises:
            UserError: above one of ``LIMITS``.
        """
        limit = LIMITS[precision]
        if not (self.mean_mm <= limit.mean_mm and self.max_sigma <= limit.max_sigma):
            raise UserError(
                f"the {precision} build differs by {self.mean_mm:.2f} mm on average and at most {self.max_sigma:.2f} "
                f"sigma ({self.max_mm:.1f} mm); {limit.mean_mm:g} mm and {limit.max_sigma:g} sigma are allowed: it was "
                "not kept"
            )


def millimetres(mean: Array, sigma: Array, got: Array, scale_mm: float | Array) -> Millimetres:
    """Compare hypotheses.

    Args:
        mean: (N, M, 16, 3) of the original, in the network's units.
        sigma: (N, M, 16) or (N, M, 1) of the original, the same units.
        got: (N, M, 16, 3) of what was built.
        scale_mm: millimetres of a unit, or (16, 3) of each coordinate.
    """
    distance = np.linalg.norm((got - mean) * scale_mm, axis=-1)
    in_sigma = np.linalg.norm(got - mean, axis=-1) / sigma
    return Millimetres(
        float(distance.max()), float(distance.mean()), float(np.percentile(distance, 99)), float(in_sigma.max())
    )


@dataclass(frozen=True, slots=True)
class PixelLimit:
    """Above which differences a build of a detector is refused."""

    mean_px: float
    """Mean distance of the joints that stay where they are."""
    jumped: float
    """Share of the joints that jump to another place."""


PIXEL_LIMITS: Final = {"fp32": PixelLimit(0.1, 0.002), "fp16": PixelLimit(0.2, 0.005), "int8": PixelLimit(1.5, 0.04)}
"""By precision. 1.5 px are a third of a cell of the heatmaps; what int8 costs in PCK has a limit of its own."""
SURE: Final = 0.3
"""Height of a peak from which on it is compared: the place of a lower one is chance."""
JUMP: Final = 0.05
"""Share of the input's side beyond which a joint has gone to another place, such as the other leg."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Distances between the joints that two networks find, those of which the original is sure."""

    max_px: float
    """Largest, pixels of the input."""
    mean_px: float
    """Mean of those that did not jump."""
    jumped: float
    """Share of those that did."""
    joints: int
    """How many were compared."""

    def report(self) -> dict[str, float]:
        """As the card names them."""
        return {
            "parity_max_px": round(self.max_px, 2), "parity_mean_px": round(self.mean_px, 4),
            "parity_jumped": round(self.jumped, 5),
        }  # fmt: skip

    def check(self, precision: str) -> None:
        """Refuse what is too far.

        Raises:
            UserError: above one of ``PIXEL_LIMITS``, or if no joint could be compared.
        """
        limit = PIXEL_LIMITS[precision]
        if not self.joints:
            raise UserError(f"the network is sure of no joint (no peak of {SURE:g}) in these pictures: train it longer")
        if not (self.mean_px <= limit.mean_px and self.jumped <= limit.jumped):
            raise UserError(
                f"the {precision} build moves joints by {self.mean_px:.3f} px on average and {self.jumped:.2%} of them "
                f"elsewhere; {limit.mean_px:g} px and {limit.jumped:.2%} are allowed: it was not kept"
            )


Report = TypeVar("Report", Millimetres, Pixels)


def pixels(xy: Array, height: Array, got: Array, side: int) -> Pixels:
    """Compare joints.

    Args:
        xy: (N, K, 2) of the original, pixels of the input.
        height: (N, K) of its peaks.
        got: (N, K, 2) of what was built.
        side: of the input, pixels.
    """
    distance = np.linalg.norm(got - xy, axis=-1)[height >= SURE]
    stayed = distance < JUMP * side
    return Pixels(
        float(distance.max(initial=0)), float(distance[stayed].mean()) if stayed.any() else float("inf"),
        float(1 - stayed.mean()) if distance.size else 1.0, int(distance.size),
    )  # fmt: skip


def worse(one: Report, other: Report) -> Report:
    """The worse of two in each figure; one that is not a number is the worst."""
    return type(one)(*(np.maximum(a, b).item() for a, b in zip(astuple(one), astuple(other), strict=True)))
