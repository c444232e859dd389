"""The reliability plot: claimed against happened, for the mixing coefficients and for the regions of the joints."""

from pathlib import Path

import numpy as np

from calibration import writing
from engines.training.evaluation import reliability
from engines.training.evaluation.lifters import Lifted
from engines.training.lifter.synthetic_views import ObservedPoses
from engines.types import EngineError

_BLUE, _RED, _GREY = "#2864a0", "#c8501e", "#8c8c8c"


def plot_reliability(path: Path, observations: ObservedPoses, lifted: Lifted, title: str) -> None:
    """Write the plot as an image; the ending says of which kind.

    Raises:
        OSError: if it cannot be written.
        EngineError: if the ending is not that of a picture.
    """
    # A Figure of its own, not pyplot's: no window system and no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    found = reliability.reliability(lifted.mean, lifted.weight, observations.truth)
    top = reliability.reliability(lifted.mean, lifted.weight, observations.truth, top_only=True)
    # A bin with a handful of claims in it says nothing.
    full, some = found.count > 20, top.count > 20
    edges = np.linspace(0, 1, len(found.count) + 1)[:-1]
    left.bar(edges[full], found.happened[full], 1 / len(edges), align="edge", color=_BLUE, alpha=0.35,
             edgecolor="white", label=f"every hypothesis (ECE {found.error:.3f})")  # fmt: skip
    left.plot(found.claimed[full], found.happened[full], "o", color=_BLUE, ms=4)
    left.plot(top.claimed[some], top.happened[some], "s-", color=_RED, ms=4, lw=1,
              label=f"the most probable alone (ECE {top.error:.3f})")  # fmt: skip
    left.set(xlabel="probability the hypothesis claims", ylabel="how often it is the nearest one",
             title="Mixing coefficients")  # fmt: skip

    level = np.linspace(0, 1, 41)
    rank = reliability.ranks(lifted.mean, lifted.sigma, lifted.weight, observations.truth)
    share = (rank.reshape(-1, 1) < level).mean(0)
    right.plot(level, share, color=_BLUE, lw=2, label="all joints, pooled")
    shares = {p: float((rank < p).mean()) for p in (0.5, 0.8, 0.95)}
    right.plot(list(shares), list(shares.values()), "o", color=_BLUE, ms=5)
    right.text(0.97, 0.04, "\n".join(f"{p:.0%} regions: {v:.1%}" for p, v in shares.items()), color=_BLUE, fontsize=9,
               ha="right")  # fmt: skip
    sharp = reliability.sharpness(lifted.mean, lifted.sigma, lifted.weight)
    right.set(xlabel="probability of the region", ylabel="share of the joints inside",
              title=f"Regions of each joint (deviation {sharp:.0f} mm an axis)")  # fmt: skip
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], "--", color=_GREY, lw=1, label="honest")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(loc="upper left", frameon=False, fontsize=9)
    try:
        with writing.aside(path) as part:
            figure.savefig(part, dpi=110)
    except ValueError as error:
        raise EngineError(f"cannot plot to {path} ({error}); give it a name that ends in .png") from error
