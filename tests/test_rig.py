"""Which camera is calibrated how: what ``stream.app.camera_setup`` makes of a calibration, names and sizes."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from calibration.errors import UserError
from calibration.formats import save_calibration
from calibration.types import Calibration, with_up
from stream.app import camera_setup
from stream.config import CameraSetupConfig
from stream.sources import kind_of, parse_sources
from tests.calibration_scene import room

CAMERAS = tuple(replace(camera, name=f"cam{k}") for k, camera in enumerate(room(3)))
SIZE = CAMERAS[0].size


@pytest.fixture
def lab(tmp_path):
    """Calibrations by name: with gravity, without, and of lenses alone."""
    placed = Calibration(CAMERAS, devices=("/dev/a", "/dev/b", "/dev/c"))
    lenses = tuple(replace(camera, R=np.eye(3), t=np.zeros(3)) for camera in CAMERAS)
    for name, calibration in (
        ("up", with_up(placed, np.array([0, 0, 1.0]))), ("placed", placed), ("lenses", Calibration(lenses, False)),
    ):  # fmt: skip
        save_calibration(calibration, tmp_path / f"{name}.toml")
    return tmp_path


def opened(sources, size=SIZE, devices=None) -> Any:
    devices = devices or [None] * len(sources)
    return [
        SimpleNamespace(
            info=SimpleNamespace(
                name=s.name, kind=kind_of(s.source), source=s.shown, size=size, device=device, serial=None
            )
        )
        for s, device in zip(sources, devices, strict=True)
    ]


def fit(path, *texts, size=SIZE, devices=None, **config):
    sources = parse_sources(texts)
    plan = camera_setup.load(CameraSetupConfig(path, **config), sources)
    fitted, lines = plan.cameras(cast(Any, opened(sources, size, devices)), 60.0)
    return plan, fitted, lines


def test_a_name_that_looks_made_up_still_decides(lab):
    """``cam0=b`` is the calibration's cam0, whatever device it is on and wherever it stands in the order."""
    _, fitted, lines = fit(lab / "up.toml", "cam0=a", "cam1=b", "cam2=c", devices=["/dev/c", "/dev/a", "/dev/b"])
    assert [f.camera.name for f in fitted] == ["cam0", "cam1", "cam2"]
    for got, camera in zip(fitted, CAMERAS, strict=True):
        np.testing.assert_allclose(got.camera.t, camera.t)
    assert lines == []
    # Also of some cameras alone, in the places where they would get that very name.
    _, fitted, lines = fit(lab / "up.toml", "cam0=b", "cam1=x")
    np.testing.assert_allclose(fitted[1].camera.t, CAMERAS[1].t)
    assert lines == ["the calibration also has cam2: not among the cameras, left out"]


def test_without_names_the_device_decides_and_then_the_order_which_is_said(lab):
    _, fitted, _ = fit(lab / "up.toml", "7", "8", "9", devices=["/dev/c", "/dev/a", "/dev/b"])
    np.testing.assert_allclose(fitted[0].camera.t, CAMERAS[2].t)
    with pytest.raises(
        UserError, match="which is which.*: 7, 8, 9; the calibration has cam0, cam1, cam2.*--bind order"
    ):
        fit(lab / "up.toml", "7", "8", "9")
    _, fitted, lines = fit(lab / "up.toml", "7", "8", "9", bind="order")
    np.testing.assert_allclose(fitted[0].camera.t, CAMERAS[0].t)
    assert len(lines) == 3 and all("as --bind order says" in line for line in lines)
    _, fitted, lines = fit(lab / "up.toml", "cam_2.mp4", "cam-0.mp4", "Cam01.avi")
    np.testing.assert_allclose([f.camera.t for f in fitted], [CAMERAS[k].t for k in (2, 0, 1)])
    assert lines == ["cameras by the names of their files: cam_2.mp4 = cam2, cam-0.mp4 = cam0, Cam01.avi = cam1"]
    # A letterbox is for a camera as the calibration or the user calls it, and never as it is called for want of a name:
    # the first one here, which is the calibration's cam2, is cam0 in the run.
    half = (SIZE[0] // 2, SIZE[1])
    texts = ("cam_2.mp4", "Cam 1=x.mp4")
    for name in ("cam1", "Cam 1"):
        _, fitted, _ = fit(lab / "up.toml", *texts, size=half, letterbox=("cam2=fit", f"{name}=fit"))
        assert [f.camera.size for f in fitted] == [half, half]
    with pytest.raises(UserError, match="camera cam2: calibrated for .* another crop .* --letterbox cam2="):
        fit(lab / "up.toml", *texts, size=half, letterbox=("cam0=fit", "cam1=fit"))
    with pytest.raises(UserError, match="camera cam2: .* are exchanged; .* --rotate cam0=90"):
        fit(lab / "placed.toml", *texts, size=SIZE[::-1])


def test_a_camera_without_a_place_is_left_out_of_a_run_and_named(lab):
    calibration = Calibration(CAMERAS[:2], lenses=(replace(CAMERAS[2], R=np.eye(3), t=np.zeros(3)),))
    for texts, kept in (
        (("Cam 2=x.mp4", "cam0=y.mp4"), [1]), (("cam_0.mp4", "cam_2.mp4", "cam-1.mp4"), [0, 2]),
        (("cam0.mp4", "cam1.mp4"), [0, 1]), (("cam2=7",), [0]),
    ):  # fmt: skip
        sources = parse_sources(texts)
        plan = camera_setup.load(CameraSetupConfig(calibration), sources)
        there = cast(Any, opened(sources))
        found, said = plan.placed_only(there)
        assert found == kept and len(said) == (len(texts) - len(kept) if len(texts) > 1 else 0)
        assert all("is left out: its camera has a lens in the calibration, but no place" in line for line in said)
        if len(texts) > 1:
            fitted, _ = plan.of(found).cameras([there[i] for i in found], 60.0)
            assert len(fitted) == len(kept)
        else:
            with pytest.raises(UserError, match="'cam2' has a lens in the calibration, but no place"):
                plan.cameras(there, 60.0)


def test_what_a_calibration_does_not_say_is_said(lab):
    names = ("cam0=a", "cam1=b", "cam2=c")
    plan, _, lines = fit(lab / "up.toml", *names)
    assert plan.method == "map" and lines == []
    plan, _, (line,) = fit(lab / "placed.toml", *names)
    assert plan.method == "map" and "up assumed: the image's up" in line and "--up X,Y,Z" in line
    plan, fitted, lines = fit(lab / "placed.toml", *names, up=(0.0, 0.0, 5.0))
    assert lines == [] and fitted[0].camera.up is not None
    np.testing.assert_allclose(fitted[0].camera.up, [0, 0, 1])
    plan, _, (line,) = fit(lab / "lenses.toml", *names)
    assert plan.method == "none" and "lenses only" in line and "extrinsics" in line


def test_several_cameras_without_a_calibration_are_told_what_that_means():
    plan, _, (line,) = fit(None, "left=a", "right=b")
    assert plan.method == "none"
    for words in ("2 cameras are not calibrated", "nothing is fused", "python -m calibration", "--calibration FILE"):
        assert words in line
    assert fit(None, "left=a")[2] == [], "one camera has nothing to fuse"


def test_frames_of_another_size(lab):
    names = ("cam0=a", "cam1=b", "cam2=c")
    half = (SIZE[0] // 2, SIZE[1] // 2)
    _, fitted, lines = fit(lab / "up.toml", *names, size=half)
    assert len(lines) == 3 and "K scaled by 0.5" in lines[0]
    assert fitted[1].camera.K[0, 0] == pytest.approx(CAMERAS[1].K[0, 0] / 2)
    square = (SIZE[0], SIZE[0])
    with pytest.raises(UserError, match="another shape"):
        fit(lab / "up.toml", *names, size=square)
    _, fitted, lines = fit(lab / "up.toml", *names, size=square, letterbox=("fit", "cam1=0.5,3,4"))
    assert "scale 1," in lines[0] and "scale 0.5, shifted by (3.00, 4.00)" in lines[1]
    np.testing.assert_allclose(fitted[1].camera.K[:2, 2], 0.5 * CAMERAS[1].K[:2, 2] + [3, 4])


@pytest.mark.parametrize(
    ("path", "config", "message"),
    [
        ("up.toml", {"fusion": "best"}, "unknown fusion 'best'; there are auto, map, hypotheses, triangulate"),
        ("lenses.toml", {"fusion": "map"}, "--fusion map needs cameras with a place"),
        ("up.toml", {"letterbox": ("z=fit",)}, "--letterbox for z, which the calibration has not"),
        ("up.toml", {"letterbox": ("fit", "fit")}, "a second one for all cameras"),
        ("up.toml", {"letterbox": ("cam0=1,2",)}, "give .*SCALE,DX,DY"),
        (None, {"fusion": "map"}, "--fusion needs --calibration"),
        (None, {"up": (0.0, 0.0, 1.0)}, "--up needs --calibration"),
        ("none.toml", {}, "no such calibration file"),
    ],
)
def test_what_cannot_be_is_refused_before_a_camera_is_opened(lab, path, config, message):
    with pytest.raises(UserError, match=message) as caught:
        camera_setup.load(CameraSetupConfig(lab / path if path else None, **config), parse_sources(["cam0=a"]))
    assert "\n" not in str(caught.value)
