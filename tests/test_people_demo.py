"""What the benchmark of the recording of two people tells, on two walkers in a room whose places are known."""

import numpy as np
import pytest

from benchmarks import people_demo
from engines.lifter import MDNLifter
from tests.test_people_cameras import at, people, ring, run


def test_two_walkers_are_told_apart_and_put_where_the_others_see_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = ring(4)
    estimates = run(people(1.2, at(-900, 300), at(900, -300)), cameras, MDNLifter())
    found = people_demo.figures(cameras, estimates)
    assert list(found) == ["id 0", "id 1"]
    for row in found.values():
        assert row["moments"] == row["of"] == len(estimates) and set(row["methods"]) == {"map"}
        assert row["bones"] < 0.05 and np.nanmedian(list(row["held_out_px"].values())) < 12
        assert sum(row["views"].values()) > 3 * len(estimates)
    everywhere = {"all of it": ("cam02", (-5000, -5000, 5000, 5000)), "nowhere": ("cam04", (-9, -9, -8, -8))}
    monkeypatch.setattr(people_demo, "EMPTY", everywhere)
    assert people_demo.nowhere(estimates) == {
        "all of it": sum(r["views"]["cam02"] for r in found.values()),
        "nowhere": 0,
    }
