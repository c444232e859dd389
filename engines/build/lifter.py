"""The lifter: checkpoint -> ONNX with temperature, sigma scale and measured errors in its card."""

import copy
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines import runtimes
from engines.build import card, parity
from engines.build.export import export, fold_norms
from engines.models.mdn import MDN, MaxNormLinear
from engines.training.checkpoints import load_checkpoint
from engines.training.data.mocap import TEST_SUBJECTS, VALIDATION_SUBJECTS, Poses, load_training
from engines.training.evaluation import lifters
from engines.training.evaluation.lifter import evaluate
from engines.training.lifter import paper, recalibrate
from engines.training.lifter.batches import evaluation_batch
from engines.training.lifter.synthetic_views import laboratory_views
from engines.training.lifter.train import command, rebuild

OUTPUTS = ("mean", "sigma", "log_weight")
NOISES = (("", 0.0), ("noise2_", 2.0))
"""Prefix in the card, and per cent of noise on the 2D joints."""
LICENCES = {
    "mocap": "MIT for the weights; the motion capture they were trained on: CMU Graphics Lab Motion Capture "
             "Database (mocap.cs.cmu.edu, NSF EIA-0196217; free to use) and HDM05 (Mueller et al. 2007, CC BY-SA 3.0)",
    "other": "trained on data under its own terms (Human3.6M: academic use only): not to be passed on without them",
}  # fmt: skip
INPUTS = {
    "virtual": "float32 x (batch, 54): 17 x (x, y) in the virtual camera, 17 visible bits, (known, sin, cos) of the "
               "pitch; see engines/lifter.py",
    "pixels": "float32 x (batch, 32): z-scored pixels of the 17 joints without the neck/nose, 0 where missing; see "
              "engines/training/lifter/paper.py",
}  # fmt: skip


class Folded(nn.Module):
    """The lifter as it runs: the same outputs, with norms clipped and folded and the three heads in one matrix.

    At batch 1 an operator costs microseconds to start: one matrix for three, and ``relu(t) + exp(min(t, 0))`` for the
    activation of sigma (equal to ``models.mdn.modified_elu``).

    Args:
        network: in evaluation mode.
        half: whether matrices and features are float16; inputs, outputs and what follows the heads stay float32.
    """

    def __init__(self, network: MDN, half: bool = False) -> None:
        super().__init__()
        self._shape = network.shape
        parts = [_plain(head) for head in (network.mean, network.sigma, network.weight)]
        self._sizes = [part.out_features for part in parts]
        heads = nn.Linear(parts[0].in_features, sum(self._sizes))
        heads.weight.data = torch.cat([part.weight.data for part in parts])
        heads.bias.data = torch.cat([part.bias.data for part in parts])
        trunk = copy.deepcopy(nn.Sequential(network.trunk, heads))
        for parent in list(trunk.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, MaxNormLinear):
                    setattr(parent, name, _plain(layer))
        self.body = fold_norms(trunk)
        self._dtype = torch.float16 if half else torch.float32
        self.body.to(self._dtype)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As ``MDN.forward``."""
        mean, sigma, weight = self.body(x.to(self._dtype)).float().split(self._sizes, -1)
        s = self._shape
        sigma = torch.relu(sigma) + torch.exp(sigma.clamp(max=0))
        return (
            mean.view(-1, s.kernels, s.joints, 3),
            sigma.view(-1, s.kernels, self._sizes[1] // s.kernels),
            (torch.log_softmax(weight, -1)),
        )


def _plain(layer: nn.Linear) -> nn.Linear:
    """A layer that clips the norm of its matrix as one that has it clipped."""
    if not isinstance(layer, MaxNormLinear):
        return layer
    linear = nn.Linear(layer.in_features, layer.out_features).train(layer.training)
    linear.weight.data, linear.bias.data = layer.clipped().data, layer.bias.data
    return linear


def write_onnx(network: MDN, path: Path, precision: str = "fp32") -> None:
    """Export a network in evaluation mode.

    Args:
        network: input "x" (batch, 54 or 32), outputs ``OUTPUTS``.
        path: the file to write.
        precision: "fp32", its large weights stored as fp16; or "fp16", a network of half precision.
    """
    half = precision == "fp16"
    export(
        Folded(network, half), torch.zeros(2, network.shape.inputs), path, ["x"], OUTPUTS,
        store_as_half=not half,
    )  # fmt: skip


def compare(
    network: MDN, path: Path, x: NDArray[np.float32], scale_mm: float | NDArray, precision: str = "fp32"
) -> parity.Millimetres:
    """How far the hypotheses of the file are from torch's for inputs x (N, 54 or 32).

    ``scale_mm``: millimetres of one unit of the outputs, or (16, 3) of each of them. Of "fp16" the worse of the file
    and of torch's own half precision counts, figure by figure: the CPU's ONNX Runtime computes such a file in float32.
    """
    with torch.inference_mode():
        mean, sigma, _ = (out.numpy() for out in network.eval()(torch.from_numpy(x)))
        found = parity.millimetres(
            mean, sigma, runtimes.load(path, runtimes.NetworkOptions("onnx"))(x=x)["mean"], scale_mm
        )
        if precision != "fp16":
            return found
        half = Folded(network, half=True)(torch.from_numpy(x))[0].numpy()
    return parity.worse(found, parity.millimetres(mean, sigma, half, scale_mm))


def real_inputs(
    validation: Poses, norm: paper.Normalisation | None, scale_mm: float
) -> tuple[NDArray[np.float32], float | NDArray]:
    """1,000 inputs or more of the validation subjects, 2 % noise, and the millimetres of a unit of the outputs.

    Args:
        validation: their poses.
        norm: of a network of the ``paper`` preset, which sees four laboratory cameras; None for random level views.
        scale_mm: of the others.
    """
    if norm:
        seen = laboratory_views(validation.select(np.arange(0, len(validation), 20)), noise=2.0)
        return norm.encode(seen.xy, seen.seen), norm.std_3d
    return evaluation_batch(validation.joints[:1000], np.random.default_rng(0), noise=2.0)[0].inputs, scale_mm


def measure(path: Path, test: Poses) -> dict[str, float]:
    """Errors of a file with its card on the test subjects, exact and with noise, mm; as the card names them."""
    lifter = lifters.load(path, "onnx")
    found: dict[str, float] = {}
    for prefix, noise in NOISES:
        result = evaluate(lifter, test, noise)
        found |= {prefix + key: round(result[key], 2) for key in result if key.endswith("mpjpe_mm")}
    return found


def build_lifter(checkpoint: Path, data: Path, out: Path, precision: str = "fp32") -> dict[str, float]:
    """Export a checkpoint, fit its temperature and sigma scale, check it, and write its card.

    Args:
        checkpoint: of engines.training.lifter.train.
        data: folder of the motion capture.
        out: the ONNX file to write, its card beside it. The old ones stay until the new ones are whole.
        precision: see ``write_onnx``.

    Returns:
        The parity report.

    Raises:
        UserError: if the checkpoint or the data cannot be read, or the file differs too much from torch.
    """
    state = load_checkpoint(checkpoint)
    settings, network = rebuild(state, checkpoint)
    _, validation, test = load_training(data)
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / out.name
        write_onnx(network, built, precision)
        norm: paper.Normalisation | None = None
        values: dict[str, card.Value] = {"scale_mm": settings.scale_mm}
        if settings.input == "pixels":
            norm = paper.normalisation_from(state.get("normalisation", {}), str(checkpoint))
            values = {"input": "pixels", **norm.numbers()}
        found = compare(network, built, *real_inputs(validation, norm, settings.scale_mm), precision)
        found.check(precision)
        if settings.loss == "mse":
            fitted: dict[str, card.Value] = {"temperature": 1.0, "sigma_scale": 1.0, "loss": "mse"}
        elif norm:
            fitted = {**recalibrate.fit_pixels(network, validation, norm)}
        else:
            fitted = {**recalibrate.fit(network, validation, settings.scale_mm)}
        values |= {
            "kernels": settings.kernels, **fitted, **found.report(), "precision": precision,
            "samples": state["done"], "seed": settings.seed, "width": settings.width, "blocks": settings.blocks,
            "dropout": settings.dropout, "sigma": settings.sigma, "prior": settings.prior,
            "test_subjects": ", ".join(TEST_SUBJECTS), "validation_subjects": ", ".join(VALIDATION_SUBJECTS),
        }  # fmt: skip
        text = card.Text(
            source=f"trained here: {command(settings)}",
            licence=LICENCES.get(state.get("data", "mocap"), LICENCES["other"]),
            joints="h36m17 without the root",
            input=INPUTS[settings.input],
        )
        card.write(built, text, values)
        # What the card states is measured on the file itself, through the runtime that users get.
        card.write(built, text, {**values, **measure(built, test)})
        card.place(built, out)
    return found.report()
