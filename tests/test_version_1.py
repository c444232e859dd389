"""Takes of version 1 of the format, written by the code of that time, with what it exported of them."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.recordings.replay import read_events, replay
from stream.recordings.schema import ESTIMATES, MOMENTS, schemas
from stream.recordings.segments import read_schema, segments
from stream.recordings.takes import open_take
from tests.takes import flip, make_run_info, same

DATA = Path(__file__).parent / "data" / "version-1"
TAKES = ["single", "multi"]


@pytest.mark.parametrize("name", TAKES)
def test_its_export_holds_the_same_arrays(name: str, tmp_path: Path) -> None:
    assert export([str(DATA / name), "--to", "npz", "--out", str(tmp_path / "now.npz")]) == 0
    with np.load(DATA / f"{name}.npz") as then, np.load(tmp_path / "now.npz") as now:
        for key in then.files:
            assert then[key].dtype == now[key].dtype
            np.testing.assert_array_equal(then[key], now[key], err_msg=key)
        fused = {"pose_person"} if "pose_time" in then.files else set()
        assert {"person_id", "cov"} | fused <= set(now.files) - set(then.files)
        assert (now["person_id"] == -1).all() and np.isnan(now["cov"]).all(), "it does not tell"


@pytest.mark.parametrize("name", TAKES)
def test_it_replays(name: str) -> None:
    take = open_take(DATA / name)
    estimates = list(replay(take))
    views = [view for e in estimates for k in range(len(e.frames)) for view in e.views_of(k)]
    with np.load(DATA / f"{name}.npz") as then:
        there = then["score"][np.isfinite(then["score"]).all(-1)]
        np.testing.assert_array_equal([view.detection.score for view in views], there)
        assert [f.t for e in estimates for f in e.frames if f] == then["time"].tolist()
        if "pose_world" in then.files:
            poses = [e.person.pose.joints for e in estimates if e.person and e.person.pose]
            np.testing.assert_array_equal(poses, then["pose_world"][then["pose_method"] != ""])
    assert {p.person_id for e in estimates for p in e.people} == {-1}
    assert all(len(e.people) <= 1 for e in estimates) and any(e.people for e in estimates)
    assert all(v.detection.cov is None and v.detection.extra is None for v in views)
    assert not list(read_events(take))


@pytest.mark.parametrize("name", TAKES)
def test_it_is_whole_and_its_clean_copy_is_of_the_same_version(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recover([str(DATA / name), "--out", str(tmp_path / "clean")]) == 0
    said = capsys.readouterr().out
    assert "nothing is lost" in said and "events" not in said
    assert open_take(tmp_path / "clean").version == 1
    assert same(tuple(replay(open_take(tmp_path / "clean"))), tuple(replay(open_take(DATA / name))))


def test_it_is_read_where_the_only_copy_of_a_schema_is_damaged(tmp_path: Path) -> None:
    for stream in (ESTIMATES, MOMENTS):
        shutil.copytree(DATA / "multi", tmp_path / stream)
        flip(segments(tmp_path / stream, stream)[0], 300)
        assert same(tuple(replay(open_take(tmp_path / stream))), tuple(replay(open_take(DATA / "multi"))))


@pytest.mark.parametrize("stream", [ESTIMATES, MOMENTS])
def test_its_columns_are_known(stream: str) -> None:
    then = read_schema(segments(DATA / "multi", stream))
    assert schemas(make_run_info(), 1)[stream].equals(pa.schema(list(then)))
    assert schemas(make_run_info())[stream].names[: len(then)] == then.names, "new ones come after them"


@pytest.mark.parametrize("to", ["csv", "parquet", "trc", "c3d"])
def test_other_exports(to: str, tmp_path: Path) -> None:
    if to == "c3d":
        pytest.importorskip("ezc3d")
    assert export([str(DATA / "multi"), "--to", to, "--out", str(tmp_path / f"out.{to}")]) == 0
