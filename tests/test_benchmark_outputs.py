"""How late the live outputs are: the arithmetic of the table; every receiver is tried with its output."""

import pytest

from benchmarks import outputs
from benchmarks.__main__ import put


def case(ages, busy=40.0):
    return {"ages": ages, "busy": busy, "skips": 1}


def test_an_output_is_judged_beside_the_window():
    window = case([20.0 + k % 10 for k in range(200)])
    soon, late = case([24.0 + k % 10 for k in range(200)]), case([31.0 + k % 10 for k in range(200)])
    ragged = case([20.0 + 30 * (k % 10 == 0) for k in range(200)], busy=90.0)
    found = {"window": [window, window], "udp": [soon], "osc": [late], "lsl": [ragged], "ros2": [case([])]}
    text, lines, figures = outputs.report(found)
    assert figures["udp"].p50 - figures["window"].p50 == pytest.approx(4.0)
    assert figures["window"].calls == 320, "the first fifth of each run is warming up"
    verdicts = {line.partition(":")[0]: line.rpartition(" ")[2] for line in lines if "goal" in line}
    assert verdicts == {"udp": "met", "osc": "MISSED", "lsl": "MISSED"}
    assert [line for line in lines if "measure it again" in line] == [
        "lsl: the machine was used to 90 %, more than 60: measure it again"
    ]
    assert "ros2: nothing came; the machine is too busy to measure it" in lines
    assert text.count("\n") == 1 + 4


def test_the_table_goes_to_its_place_in_the_document(tmp_path):
    path = tmp_path / "live.md"
    path.write_text(f"a\n{outputs.MARKS[0]}\nold\n{outputs.MARKS[1]}\nb\n")
    put("new", path, outputs.MARKS)
    assert path.read_text() == f"a\n{outputs.MARKS[0]}\nnew\n{outputs.MARKS[1]}\nb\n"
