"""Several seeds side by side: the same samples for both networks, figures that are those of what was trained."""

import dataclasses

import numpy as np
import torch

from engines.training.data.mocap import PROXY_SUBJECTS
from engines.training.evaluation import lifter as evaluation
from engines.training.evaluation import seeds
from engines.training.lifter import train
from engines.training.lifter.batches import Batch
from engines.training.lifter.train import PRESETS
from tests.mistakes import refused
from tests.test_lifter_data import folder_of


def test_seeds_are_trained_measured_and_not_trained_again(tmp_path, capsys, monkeypatch):
    small = dataclasses.replace(PRESETS["live"], width=32, composed=0.0, precision="float32")
    monkeypatch.setitem(PRESETS, "live", small)
    monkeypatch.setattr(seeds, "fastest_precision", lambda: "float32")
    folder = folder_of(tmp_path, ["A", PROXY_SUBJECTS[0], "CMU_07", "CMU_08"], ["x"] * 4)
    flags = ["--data", str(folder), "--threads", "1", "--width", "32", "--seeds", "2", "--samples", "2048"]
    assert seeds.main([*flags, "--out", str(tmp_path / "runs")]) == 0
    table = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        f"{who}, {how}" for who in ("test subjects", "left-out people") for how in ("exact 2D", "2 % noise")
    ]
    assert all("±" in cell for row in rows for cell in row[1:])

    # A network alone learns what it learned beside the other, dropout aside: the samples are the same.
    alone = train.open_source(small, folder, None)
    beside = train.open_source(seeds.Pair(0, 2048, 32, "float32").settings(1), folder, None)
    np.testing.assert_array_equal(alone.draw(512, 0).inputs, beside.draw(512, 0).inputs)

    # The figures are those of the evaluation's own command, and both seeds count.
    best = []
    for seed in (0, 1):
        weights = tmp_path / "runs" / f"seed-{seed}-kernels-5" / "checkpoint.pt"
        assert evaluation.main(["--data", str(folder), "--weights", str(weights)]) == 0
        best.append(float(capsys.readouterr().out.splitlines()[2].split("|")[3]))
    assert best[0] != best[1]
    assert abs(float(rows[0][1].split()[0]) - np.mean(best)) < 0.11

    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").rglob("*.pt"))]
    assert seeds.main([*flags, "--out", str(tmp_path / "runs")]) == 0
    assert capsys.readouterr().out == table
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").rglob("*.pt"))] == before
    other = [*flags[:-1], "4096", "--out", str(tmp_path / "runs")]
    assert "other settings" in refused(capsys, seeds.main, "engines.training.evaluation.seeds", *other)


def test_networks_side_by_side_do_not_share_weights():
    settings = dataclasses.replace(PRESETS["live"], width=32)
    learners = [train.Learner(dataclasses.replace(settings, kernels=k), 1024) for k in (1, 5)]
    one = {name: value.clone() for name, value in learners[0].network.state_dict().items()}
    drawn = Batch(np.random.default_rng(0).normal(size=(256, 54)).astype("float32"), np.zeros((256, 16, 3), "float32"))
    learners[1].learn(drawn)
    assert all(torch.equal(value, one[name]) for name, value in learners[0].network.state_dict().items())
    assert (learners[0].done, learners[1].done) == (0, 256)
