"""Labels as published become the npz that trainings read, row by row."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from engines.training.data.__main__ import main
from engines.training.data.lspet_mat import left_out
from tests.mistakes import refused


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)], ids=["14x3", "3x14"])
def test_labels_as_published(tmp_path: Path, rng: np.random.Generator, order: tuple[int, int, int]) -> None:
    made = rng.uniform(1, 200, (50, 14, 3))
    made[..., 2] = 1
    made[9, 1:, 2] = 0
    savemat(tmp_path / "joints.mat", {"joints": made.transpose(order)})
    assert main(["lspet", str(tmp_path / "joints.mat"), "--out", str(tmp_path / "joints.npz")]) == 0
    kept = [n for n in range(1, 51) if n not in {9, 12, 15, 41, 43, 10}]
    with np.load(tmp_path / "joints.npz") as data:
        np.testing.assert_array_equal(data["image_id"], kept)
        np.testing.assert_allclose(data["joints"], made[np.array(kept) - 1], rtol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joints.mat", "joints.npz"]


def test_a_thousand_photographs_are_left_out() -> None:
    assert len(left_out()) == 1000 and min(left_out()) == 9 and max(left_out()) <= 10000


def test_the_people_that_the_figures_are_of(data_folder: Path) -> None:
    with np.load(data_folder / "lspet" / "joints.npz") as data:
        assert set(map(int, data["image_id"])) == set(range(1, 10001)) - left_out()


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "joints.npz")]
    (tmp_path / "text.mat").write_text("no matlab " * 30)
    savemat(tmp_path / "other.mat", {"joints": np.zeros((14, 2, 5))})
    savemat(tmp_path / "none.mat", {"points": np.zeros((14, 3, 5))})
    savemat(tmp_path / "empty.mat", {"joints": np.zeros((14, 3, 5))})
    for name, words in (
        ("gone.mat", "cannot be read"), ("text.mat", "cannot be read"), ("other.mat", "(14, 2, 5)"),
        ("none.mat", "is None"), ("empty.mat", "nobody"),
    ):  # fmt: skip
        assert words in refused(capsys, main, "data", "lspet", tmp_path / name, *out)
    assert not (tmp_path / "joints.npz").exists()
