"""Takes in OpenSim. What needs OpenSim itself is slow, and skipped where it is not installed."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from engines import skeleton as sk
from engines.skeleton import JOINTS
from stream.app import demo
from stream.app.opensim import main
from stream.recordings import opensim_markers
from stream.recordings.opensim import _table, load_opensim
from stream.recordings.opensim_markers import PLACES, weights, write_marker_set
from stream.types import StreamError
from tests.exports import run
from tests.humanoids import SPEED, take_of
from tests.test_angles import read_mot


def test_markers_count_as_sure_as_they_are() -> None:
    sigma, inferred = np.full(17, 20.0), np.zeros(17, bool)
    sigma[[sk.L_WRIST, sk.HEAD, sk.SPINE, sk.NECK]] = 40, 400, 10, np.nan
    inferred[[sk.SPINE, sk.NECK]] = True
    found = weights(sigma, inferred)
    assert found[sk.R_KNEE] == 1 and found[sk.L_WRIST] == pytest.approx(0.25) and found[sk.HEAD] == 0.05
    assert found[sk.SPINE] == found[sk.NECK] == 0.1
    np.testing.assert_array_equal(weights(np.full(17, np.nan), np.zeros(17, bool)), 1)


def test_the_marker_set_has_our_names(tmp_path: Path) -> None:
    write_marker_set(tmp_path / "markers.xml")
    shipped = Path(opensim_markers.__file__).with_suffix(".xml")
    assert shipped.read_bytes() == (tmp_path / "markers.xml").read_bytes(), "write_marker_set renews it"
    found = ElementTree.parse(tmp_path / "markers.xml").getroot()
    assert [marker.get("name") for marker in found.iter("Marker")] == list(JOINTS)
    sides = {JOINTS[j]: place[2] for j, (_, place) in PLACES.items()}
    assert all(sides[f"left_{limb}"] <= 0 <= sides[f"right_{limb}"] for limb in ("hip", "shoulder"))


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return take_of(tmp_path_factory.mktemp("takes"), np.arange(20) / 30, gone=(3,))


def test_what_is_missing_is_said(take: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pyopensim", None)
    assert main([str(take), "--out", str(tmp_path / "o")]) == 2
    assert "pip install pyopensim" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyopensim", type(sys)("pyopensim"))  # as it is where OpenBLAS is missing
    assert main([str(take), "--out", str(tmp_path / "o")]) == 2
    assert "sudo apt install libopenblas0-pthread" in capsys.readouterr().err
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "thesis.docx").write_text("mine")
    assert main([str(take), "--out", str(tmp_path / "o"), "--force"]) == 2
    assert "holds other things than an OpenSim export" in capsys.readouterr().err
    assert main([str(take), "--out", str(take / "o")]) == 2
    assert "lies in the take" in capsys.readouterr().err


def test_a_table_that_a_full_disk_cut_short_is_no_result(tmp_path: Path) -> None:
    whole = "Coordinates\nversion=1\nnRows=2\nnColumns=2\nendheader\ntime\tknee\n0\t1.25\n1\t2.5\n"
    (tmp_path / "a.mot").write_text(whole)
    columns, rows = _table(tmp_path / "a.mot")
    assert columns == ["time", "knee"] and rows.tolist() == [[0, 1.25], [1, 2.5]]
    for length in (0, 20, 60, len(whole) - 6, len(whole) - 2):
        (tmp_path / "a.mot").write_text(whole[:length])
        with pytest.raises(OSError, match="No space left"):
            _table(tmp_path / "a.mot")


@pytest.fixture(scope="module")
def osim():
    try:
        return load_opensim()
    except StreamError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_opensim_reads_the_markers(osim, take: Path, tmp_path: Path) -> None:
    assert run(take, "trc", tmp_path / "a.trc") == 0
    data = osim.simulation.MarkerData(str(tmp_path / "a.trc")) if hasattr(osim.simulation, "MarkerData") else (
        osim.common.MarkerData(str(tmp_path / "a.trc"))
    )  # fmt: skip
    assert data.getNumMarkers() == 17 and data.getNumFrames() == 20
    assert data.getDataRate() == pytest.approx(30, rel=1e-3)
    assert [data.getMarkerNames().get(k) for k in range(17)] == list(JOINTS)


@pytest.mark.slow
def test_a_walker_in_opensim(osim, take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        demo.fetch(demo.OPENSIM)
    except StreamError as error:
        pytest.skip(str(error))
    assert main([str(take), "--out", str(tmp_path / "o")]) == 0
    assert "person0: markers" in capsys.readouterr().out
    assert not Path("opensim.log").exists()
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        "markers.xml", "person0.json", "person0.mot", "person0.osim", "person0.trc"
    }  # fmt: skip
    report = json.loads((tmp_path / "o" / "person0.json").read_text())
    assert report["rms_mm"] < 40
    assert report["scale"]["femur_r"][0] == pytest.approx(420 / 408, rel=0.01)
    model = osim.simulation.Model(str(tmp_path / "o" / "person0.osim"))
    assert model.getMarkerSet().getSize() == 17 and model.getTotalMass(model.initSystem()) == pytest.approx(
        70, rel=1e-3
    )
    _, table = read_mot(tmp_path / "o" / "person0.mot")
    time = table["time"].to_numpy()
    swing = np.sin(2 * np.pi * time / 1.1)
    for name, expected in (("hip_flexion_r", 25 * swing), ("hip_flexion_l", -25 * swing)):
        found = table[name].to_numpy()
        # The model's own geometry turns the neutral position by some degrees.
        assert np.corrcoef(found, expected)[0, 1] > 0.98 and np.std(found - expected) < 4, name
    assert run(take, "mot", tmp_path / "a.mot") == 0
    _, own = read_mot(tmp_path / "a.mot")
    for name in ("hip_flexion_r", "knee_angle_r", "knee_angle_l", "elbow_flex_r", "pelvis_tilt", "pelvis_rotation"):
        apart = np.interp(time, own["time"], own[name]) - table[name]
        assert np.std(apart) < 4 and abs(np.mean(apart)) < 20, name
    assert np.polyfit(time, table["pelvis_tz"], 1)[0] == pytest.approx(SPEED / 1000, rel=0.05)
