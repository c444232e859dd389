"""The paper's tables, one function each: rows of figures, and their Markdown.

Best of M is what the paper reports and nobody can deploy; the answers that can be deployed always stand beside it: the
most probable kernel, the mixture mean, and with several cameras select-and-average.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.geometry import virtual
from engines import skeleton as sk
from engines.training import metrics
from engines.training.data import h36m
from engines.training.evaluation import multiview
from engines.training.evaluation.lifters import EvaluatedLifter, Lifted
from engines.training.lifter.synthetic_views import ObservedPoses
from engines.types import EngineError

Observe = Callable[[int], ObservedPoses]
"""Views with so many limb joints missing."""

ANSWERS = {"best": "best of M", "argmax": "most probable", "mean": "mixture mean"}
_LOW_MM = 550.0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures."""

    title: str
    """What they are, with their unit."""
    rows: dict[str, dict[str, float]]
    """Row name -> column name -> figure."""

    def markdown(self) -> str:
        """As a Markdown table; a figure that a row has not is left empty."""
        columns = list(dict.fromkeys(column for row in self.rows.values() for column in row))
        lines = [f"{self.title}", "", "| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in self.rows.items():
            cells = ("" if column not in row else _figure(column, row[column]) for column in columns)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


def _figure(column: str, value: float) -> str:
    return f"{value:.0f}" if column == "views" else f"{value:.1f}"


def _grouped(labels: NDArray[np.str_], order: Sequence[str] = ()) -> dict[str, NDArray[np.bool_]]:
    found = sorted(set(labels.tolist()), key=lambda name: (order.index(name) if name in order else len(order), name))
    return {name: labels == name for name in found}


def by_action(lifters: Sequence[EvaluatedLifter], observe: Observe) -> Table:
    """Table 1: protocols 1 and 2 by action, mm; the average is the mean of the actions, as is usual."""
    rows: dict[str, dict[str, float]] = {}
    for lifter in lifters:
        o = observe(0)
        lifted = lifter.lift(o)
        error, fused = metrics.errors(lifted.mean, lifted.weight, o.truth), multiview.fuse(o, lifted)
        labels = o.action if len(set(o.action)) > 1 else o.subject
        mine: dict[str, dict[str, float]] = {}
        for action, keep in _grouped(labels, h36m.ACTIONS).items():
            row: dict[str, float] = {"views": int(keep.sum())}
            for prefix, protocol, together in (("", "P1", fused.error), ("p_", "P2", fused.p_error)):
                row |= {
                    f"{protocol} {text}": float(error[prefix + name][keep].mean()) for name, text in ANSWERS.items()
                }
                if len(fused.first) and (part := keep[fused.first]).any():
                    row[f"{protocol} multi-view"] = float(together[part].mean())
            mine[action] = row
        columns = [c for c in next(iter(mine.values())) if c != "views"]
        mine["average"] = {"views": len(o)} | {
            c: float(np.mean([r[c] for r in mine.values() if c in r])) for c in columns
        }
        rows |= {_named(lifter, name, len(lifters)): row for name, row in mine.items()}
    return Table("MPJPE in mm by action, protocol 1 (P1) and after alignment (P2)", rows)


def _named(lifter: EvaluatedLifter, name: str, many: int) -> str:
    return f"{lifter.name}: {name}" if many > 1 else name


def select_and_average(lifters: Sequence[EvaluatedLifter], observe: Observe) -> Table:
    """Table 2: the views of a frame set together, by action, mm."""
    rows: dict[str, dict[str, float]] = {}
    for lifter in lifters:
        o = observe(0)
        lifted = lifter.lift(o)
        fused = multiview.fuse(o, lifted)
        if not len(fused.first):
            raise EngineError("table 2 needs moments seen by several cameras; use --views h36m4 or Human3.6M")
        error = metrics.errors(lifted.mean, lifted.weight, o.truth)
        labels = o.action if len(set(o.action)) > 1 else o.subject
        groups = _grouped(labels, h36m.ACTIONS) | {"all": np.ones(len(o), bool)}
        for action, keep in groups.items():
            part = keep[fused.first]
            row = {f"one view, {text}": float(error[name][keep].mean()) for name, text in ANSWERS.items()}
            row |= {
                "select and average": float(fused.error[part].mean()),
                "the same, P2": float(fused.p_error[part].mean()),
            }
            rows[_named(lifter, action, len(lifters))] = row
    return Table("Multi-view: one hypothesis a view, selected by agreement and averaged; MPJPE in mm", rows)


def missing_joints(lifters: Sequence[EvaluatedLifter], observe: Observe) -> Table:
    """Table 3: none, one and two of the eight elbows, wrists, knees and ankles missing, mm."""
    rows = {}
    for lifter in lifters:
        for missing in (0, 1, 2):
            rows[_named(lifter, f"{missing} missing", len(lifters))] = _errors(lifter, observe(missing))
    return Table("Missing limb joints; MPJPE in mm", rows)


def _errors(lifter: EvaluatedLifter, o: ObservedPoses) -> dict[str, float]:
    lifted = lifter.lift(o)
    error = metrics.errors(lifted.mean, lifted.weight, o.truth)
    return {text: float(error[name].mean()) for name, text in ANSWERS.items()}


def by_scene(lifters: Sequence[EvaluatedLifter], observe: Observe) -> Table:
    """Table 4: 3DPCK at 150 mm and AUC by scene, per cent; best of M is the kernel with the least MPJPE."""
    rows: dict[str, dict[str, float]] = {}
    for lifter in lifters:
        o = observe(0)
        lifted = lifter.lift(o)
        nearest = metrics.mpjpe(lifted.mean, o.truth[:, None]).argmin(-1)
        poses = (lifted.mean[np.arange(len(o)), nearest], *metrics.answers(lifted.mean, lifted.weight))
        distance = {
            text: np.linalg.norm(pose - o.truth, axis=-1) for text, pose in zip(ANSWERS.values(), poses, strict=True)
        }
        labels = o.scene if len(set(o.scene)) > 1 else o.subject
        for scene, keep in (_grouped(labels) | {"all": np.ones(len(o), bool)}).items():
            row = {"views": float(keep.sum())}
            for text, d in distance.items():
                row |= {f"PCK {text}": metrics.pck(d[keep]), f"AUC {text}": metrics.auc(d[keep])}
            rows[_named(lifter, scene, len(lifters))] = row
    return Table("3DPCK at 150 mm and its AUC by scene, per cent", rows)


def by_kernels(lifters: Sequence[EvaluatedLifter], observe: Observe) -> Table:
    """Table 5: weights with different numbers of kernels, and single regression, mm."""
    rows = {}
    for lifter in sorted(lifters, key=lambda one: (one.probabilistic, one.training.get("kernels", 0))):
        kind = f"M = {lifter.training.get('kernels')}" if lifter.probabilistic else "regression"
        rows[f"{kind} ({lifter.name})"] = _errors(lifter, observe(0))
    return Table("Number of kernels; MPJPE in mm", rows)


def by_prior(lifters: Sequence[EvaluatedLifter], observe: Observe) -> Table:
    """Table 6: weights trained with and without the prior, on all poses and on seated and lying ones, mm.

    Seated or lying: the pelvis is less than 550 mm above the lowest joint. Kernels used: the mean number of kernels
    with a weight of at least 5 per cent; without the prior most of them may die.
    """
    rows: dict[str, dict[str, float]] = {}
    for lifter in sorted(lifters, key=lambda one: one.training.get("prior", 0)):
        o = observe(0)
        for name, keep in {"all poses": np.ones(len(o), bool), "seated or lying": low(o)}.items():
            if not keep.any():
                continue
            part = o.select(keep)
            lifted = lifter.lift(part)
            error = metrics.errors(lifted.mean, lifted.weight, part.truth)
            row: dict[str, float] = {"views": len(part)} | {t: float(error[n].mean()) for n, t in ANSWERS.items()}
            row["kernels used"] = float((lifted.weight >= 0.05).sum(-1).mean())
            rows[f"lambda = {lifter.training.get('prior')}, {name} ({lifter.name})"] = row
    return Table("Prior on the mixing coefficients (lambda 1 = none); MPJPE in mm", rows)


def low(o: ObservedPoses) -> NDArray[np.bool_]:
    """(N,) whether the person sits or lies; False where gravity is not known."""
    with np.errstate(invalid="ignore"):
        height = np.einsum("njc,nc->nj", o.truth, o.up)
        return -height.min(1) < _LOW_MM


def reprojection(lifters: Sequence[EvaluatedLifter], observe: Observe) -> Table:
    """Table 7: PCKh@0.5 of the hypotheses, projected, against the 2D they were lifted from, per cent."""
    rows = {}
    for lifter in lifters:
        o = observe(0)
        rows[lifter.name] = pckh(o, lifter.lift(o))
    return Table("Reprojection of the hypotheses, PCKh@0.5 in per cent", rows)


def pckh(o: ObservedPoses, lifted: Lifted) -> dict[str, float]:
    """PCKh@0.5 of all hypotheses, of the best, the most probable and the worst a pose.

    A hypothesis is put where it fits the seen joints best (least squares), then projected. The head's length is that of
    thorax to head in the 2D; views in which one of the two is not seen are left out.
    """
    keep = o.seen[:, sk.THORAX] & o.seen[:, sk.HEAD]
    if not keep.any():
        raise EngineError("PCKh needs a length of the head, and no view has both thorax and head")
    o, mean, weight = o.select(keep), lifted.mean[keep].astype(np.float64), lifted.weight[keep]
    rays = np.concatenate([o.rays, np.ones((*o.rays.shape[:2], 1))], -1)[:, None]
    place = virtual.place(
        mean, np.broadcast_to(rays, mean.shape), np.broadcast_to(o.seen[:, None] * 1.0, mean.shape[:3])
    )
    inside = mean + place[:, :, None]
    xy = inside[..., :2] / np.maximum(inside[..., 2:], 1.0)
    head = np.linalg.norm(o.rays[:, sk.THORAX] - o.rays[:, sk.HEAD], axis=-1)
    near = np.linalg.norm(xy - o.rays[:, None], axis=-1) < 0.5 * head[:, None, None]
    share = np.where(o.seen[:, None], near, 0).sum(-1) / o.seen.sum(-1)[:, None] * 100
    most = share[np.arange(len(share)), weight.argmax(-1)]
    return {"all hypotheses": float(share.mean()), "best": float(share.max(-1).mean()),
            "most probable": float(most.mean()), "worst": float(share.min(-1).mean())}  # fmt: skip


TABLES: dict[int, Callable[[Sequence[EvaluatedLifter], Observe], Table]] = {
    1: by_action, 2: select_and_average, 3: missing_joints, 4: by_scene, 5: by_kernels, 6: by_prior, 7: reprojection,
}  # fmt: skip
"""What ``--table`` takes."""


def as_json(table: Table) -> dict[str, Any]:
    """For ``--json``."""
    return {"title": table.title, "rows": table.rows}
