"""The whole way from a box of cameras to a checked calibration, on rendered photographs of a board."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.__main__ import main
from calibration.errors import CalibrationError
from calibration.formats import load_calibration, save_calibration
from calibration.geometry.camera import world_to_image
from calibration.geometry.rotations import rotation_matrix
from calibration.solving.board import Board
from calibration.solving.check import check_board, check_person, epipolar_error, picture
from calibration.solving.floor import floor_from_board
from calibration.solving.print_board import PIXELS_PER_MM, draw, lay_out
from calibration.types import Calibration
from stream.app.calibrate import capture, judge, session, solve
from stream.app.calibrate.arguments import board_of, parser
from stream.app.calibrate.capture import Feed, collect_lens, collect_together, frame_sets
from stream.app.calibrate.collect import LensCollector
from stream.packed import Captured
from stream.sinks import window
from stream.sources import make_source
from tests.calibration_scene import look_at, pose_errors, see
from tests.captures import write_capture
from tests.test_calibration_person import look, walker

BOARD = Board("charuco", (7, 5), 80, 60)
FLAGS = ["--square", "80", "--marker", "60"]
FLOOR = Board("charuco", (5, 4), 160, 120, "DICT_4X4_50")
SIZE = (800, 600)
NOISE = np.random.default_rng(0).normal(0, 2, (600, 800, 3))
TRUE = tuple(
    look_at(name, centre, [0, 0, 800], f=700, size=SIZE, dist=(0, 0, 0, 0, 0))
    for name, centre in (("left", [-1600.0, -2300, 1500]), ("right", [1500.0, -2400, 1700]))
)


def photograph(camera, R, t, sheet_image, origin):
    """Render the board of pose R, t (world): a plane, so a homography, at twice the size and averaged."""
    R, t = camera.R @ R, camera.R @ t + camera.t
    per_mm = PIXELS_PER_MM / 5
    to_mm = np.array([[1 / per_mm, 0, 0.5 / per_mm - origin[0]], [0, 1 / per_mm, 0.5 / per_mm - origin[1]], [0, 0, 1]])
    twice = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])
    H = twice @ camera.K @ np.column_stack([R[:, 0], R[:, 1], t]) @ to_mm
    big = cv2.warpPerspective(sheet_image, H, (2 * SIZE[0], 2 * SIZE[1]), borderValue=(170, 170, 170))
    image = cv2.resize(big, SIZE, interpolation=cv2.INTER_AREA)
    return np.clip(image + NOISE, 0, 255).astype(np.uint8)


@cache
def sheet_of(board):
    sheet = lay_out(board)
    return cv2.resize(draw(sheet), None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA), sheet


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Folders lens/, rig/, floor/, each with left/ and right/ of photographs."""
    root = tmp_path_factory.mktemp("shots")
    rng = np.random.default_rng(0)

    def save(kind, camera, number, R, centre, board=BOARD):
        image, sheet = sheet_of(board)
        folder = root / kind / camera.name
        folder.mkdir(parents=True, exist_ok=True)
        middle = np.append(np.array(board.squares) * board.square_mm / 2, 0)
        origin = sheet.rectangles[:, :2].min(0)
        shot = photograph(camera, R, centre - R @ middle, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), origin)
        cv2.imwrite(str(folder / f"{number:03}.png"), shot)

    for camera in TRUE:
        for i in range(18):
            R = rotation_matrix(rng.uniform([-0.7, -0.7, -0.4], [0.7, 0.7, 0.4]))
            depth = rng.uniform(700, 1500)
            local = np.append(rng.uniform(-0.35, 0.35, 2) * depth * np.array(SIZE) / 700 * 0.6, depth)
            save("lens", camera, i, camera.R.T @ R, camera.R.T @ (local - camera.t))
    forward = TRUE[0].R[2] + TRUE[1].R[2]
    z = forward / np.linalg.norm(forward)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    between = np.stack([x, np.cross(z, x), z], 1)
    for i in range(24):
        R = between @ rotation_matrix(rng.uniform([-0.5, -0.4, -0.4], [0.5, 0.4, 0.4]))
        for camera in TRUE:
            save("rig", camera, i, R, shared(i))
    flat = rotation_matrix(np.array([0, 0, 0.2])) @ np.diag([1.0, -1, -1])
    for camera in TRUE:
        save("floor", camera, 0, flat, np.array([0.0, -400, 0]), FLOOR)
    return root


def shared(i):
    return np.random.default_rng(100 + i).uniform([-450, -500, 500], [450, 400, 1200])


def cameras(root, kind):
    return [flag for name in ("left", "right") for flag in ("--camera", f"{name}={root / kind / name}")]


def test_from_photographs_to_a_checked_calibration(shots, tmp_path, capsys):
    lens, rig, lab = tmp_path / "lens.toml", tmp_path / "rig.toml", tmp_path / "lab.toml"
    assert (
        main(["intrinsics", *cameras(shots, "lens"), *FLAGS, "--out", str(lens), "--picture", str(tmp_path / "c.png")])
        == 0
    )
    found = load_calibration(lens)
    assert found.names == ("left", "right") and not found.placed and "rms_px_left" in found.made
    for camera in TRUE:
        np.testing.assert_allclose(found[camera.name].K[[0, 1], [0, 1]], camera.K[[0, 1], [0, 1]], rtol=0.01)
    assert cv2.imread(str(tmp_path / "c.png")) is not None

    assert main(["extrinsics", *cameras(shots, "rig"), *FLAGS, "--intrinsics", str(lens), "--out", str(rig)]) == 0
    turn, move = pose_errors(load_calibration(rig).cameras, TRUE)
    assert turn < 0.5 and move < 30
    assert "known lengths" in capsys.readouterr().out

    assert (
        main(
            ["floor", *cameras(shots, "floor"), *FLOOR.describe().split(), "--calibration", str(rig), "--out", str(lab)]
        )
        == 0
    )
    placed = load_calibration(lab)
    np.testing.assert_array_equal(placed.up, [0, 0, 1])
    for camera in TRUE:
        assert placed[camera.name].centre[2] == pytest.approx(camera.centre[2], abs=30)
    assert dict(placed.made)["floor"] == "a board on the floor"

    check = ["check", *cameras(shots, "rig"), *FLAGS, "--calibration"]
    assert main([*check, str(lab), "--picture", str(tmp_path / "check.png")]) == 0
    assert "passes" in capsys.readouterr().out and cv2.imread(str(tmp_path / "check.png")) is not None
    turned = [
        placed.cameras[0],
        replace(placed.cameras[1], R=rotation_matrix(np.array([0.03, 0, 0])) @ placed.cameras[1].R),
    ]
    save_calibration(Calibration(tuple(turned)), tmp_path / "bad.toml")
    assert main([*check, str(tmp_path / "bad.toml")]) == 1
    assert "does not pass" in capsys.readouterr().out


def take_of(shots, kind, folder, known, every=0.3):
    """A capture of these photographs, by cameras that were calibrated so."""
    frames = []
    for camera in known:
        for k, path in enumerate(sorted((shots / kind / camera.name).iterdir())):
            t = 1000.0 + every * k
            frames.append(Captured(camera.name, k, t, t, None, cv2.imread(str(path))))
    names = [camera.name for camera in known]
    return write_capture(folder, frames, names, cameras={c.name: c for c in known}, codec="mjpeg").folder


def test_a_take_brings_what_it_was_captured_with(shots, tmp_path, capsys):
    lenses = [replace(camera, R=np.eye(3), t=np.zeros(3), up=None) for camera in TRUE]
    take = take_of(shots, "rig", tmp_path / "lenses", lenses)
    rig = tmp_path / "rig.toml"
    assert main(["extrinsics", "--from-take", str(take), *FLAGS, "--out", str(rig)]) == 0
    said = capsys.readouterr().err
    assert f"the calibration that {take} was captured with is used (--intrinsics FILE gives another)" in said
    turn, move = pose_errors(load_calibration(rig).cameras, TRUE)
    assert turn < 0.5 and move < 30
    assert main(["check", "--from-take", str(take), *FLAGS]) == 2
    assert "what the take was captured with: holds lenses only" in capsys.readouterr().err
    person = ["from-person", "--from-take", str(take), "--height", "1750", "--out", str(tmp_path / "o.toml")]
    assert main([*person, "--fov", "60"]) == 2
    assert "the take has their calibration; leave it out" in capsys.readouterr().err

    placed = take_of(shots, "rig", tmp_path / "placed", TRUE)
    assert main(["check", "--from-take", str(placed), *FLAGS]) == 0
    assert "(--calibration FILE gives another)" in capsys.readouterr().err
    ground, lab = take_of(shots, "floor", tmp_path / "floor", TRUE), tmp_path / "lab.toml"
    floor = ["floor", "--camera", f"{ground}/left", *FLOOR.describe().split(), "--out", str(lab)]
    assert main(floor) == 0
    made = load_calibration(lab)
    assert made.names == ("left", "right"), "the one that was not looked through moves along"
    for camera in TRUE:
        assert made[camera.name].centre[2] == pytest.approx(camera.centre[2], abs=30)

    for flags in (["extrinsics", *cameras(shots, "rig")], ["check", *cameras(shots, "rig")]):
        out = [] if flags[0] == "check" else ["--out", str(tmp_path / "o.toml")]
        assert main([*flags, *out]) == 2
        assert "the following arguments are required: --" in capsys.readouterr().err
    assert not (tmp_path / "o.toml").exists()


LEFT = ["--camera", "a={}/lens/left"]
BOTH = [*LEFT, "--camera", "b={}/lens/right"]


def run(*arguments):
    command = [sys.executable, "-m", "calibration", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=Path(__file__).parents[1],
                          env=os.environ | {"PYTHONWARNINGS": "default"})  # fmt: skip


def test_a_users_mistake_is_one_line_and_no_traceback(tmp_path):
    done = run("intrinsics", "--camera", str(tmp_path / "none.mp4"), "--out", str(tmp_path / "l.toml"))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "none.mp4" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["board", "--board", "chessboard", "--out", "{}/b.pdf"], "needs --corners"),
        (["board", "--square", "500", "--out", "{}/b.pdf"], "does not fit on A0"),
        (["board", "--corners", "4x7", "--out", "{}/b.pdf"], "--squares"),
        (["convert", "{}/none.toml", "{}/o.toml"], "no such calibration file"),
        (["convert", "{}/note.toml", "{}/o.toml"], "not a calibration in a format known"),
        (["convert", "{}/note.toml", "{}/note.toml"], "exists already"),
        (["board", "--out", "{}/b.png"], "ends in .pdf"),
        (["check", *LEFT, "--calibration", "{}/rig.toml"], "at least twice"),
        (["extrinsics", *LEFT, "--intrinsics", "{}/lens.toml", "--out", "{}/o.toml"], "at least twice"),
        (["check", *BOTH, "--calibration", "{}/lens.toml"], "holds lenses only"),
        (["check", *LEFT, "--camera", "c={}/lens/right", "--calibration", "{}/rig.toml"], "for camera 'c'"),
        (["check", *BOTH, "--calibration", "{}/other.toml"], "another shape"),
        (["check", *BOTH, "--calibration", "{}/rig.toml", "--letterbox", "z=fit"], "--letterbox for z"),
        (["check", *BOTH, "--calibration", "{}/rig.toml", "--picture", "{}/p.tiff"], ".png or .jpg"),
        (["check", *BOTH, *FLAGS, "--calibration", "{}/rig.toml", "--squares", "6x5"], "on a ChArUco board of 7x5"),
        (["check", *BOTH, *FLAGS, "--calibration", "{}/rig.toml", "--sync-offset", "b=99"], "recordings overlap in"),
        (["check", *BOTH, "--calibration", "{}/rig.toml", "--sync-offset", "z=1"], "'z'"),
        (["check", *BOTH, "--calibration", "{}/rig.toml", "--sync-offset", "a=nan"], "NAME=SECONDS"),
        (["intrinsics", *LEFT, "--out", "{}/note.toml/o.toml"], "is not a folder"),
        (["from-person", *BOTH, "--height", "2", "--detector", "x", "--out", "o"], "detector"),
        (["from-person", *BOTH, "--height", "1750", "--letterbox", "fit", "--out", "o"], "give --intrinsics too"),
        (["from-person", *BOTH, "--height", "1750", "--intrinsics", "{}/lens.toml", "--fov", "60", "--out", "o"],
         "leave out it or --intrinsics"),
    ],
)  # fmt: skip
def test_bad_input(shots, tmp_path, capsys, arguments, message):
    (tmp_path / "note.toml").write_text("a = 1")
    (tmp_path / "lens").symlink_to(shots / "lens")
    ab, wide = (tuple(look_at(n, [0, y, 999], [0, 0, 900], size=s) for n, y in (("a", -2e3), ("b", -3e3)))
                for s in (SIZE, (640, 640)))  # fmt: skip
    save_calibration(Calibration(ab, placed=False), tmp_path / "lens.toml")
    save_calibration(Calibration(ab), tmp_path / "rig.toml")
    save_calibration(Calibration(wide), tmp_path / "other.toml")
    assert main([argument.replace("{}", str(tmp_path)) for argument in arguments]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.strip().splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["board"], "required: --out"),
        (["board", "--out", "b.pdf", "--square", "0"], "--square: '0'; give a number above 0"),
        (["board", "--out", "b.pdf", "--marker", "nan"], "--marker: 'nan' is not a number"),
        (["intrinsics", "--camera", "0", "--out", "o", "--count", "4"], "from 5 up"),
        (["extrinsics", "--camera", "0", "--intrinsics", "l", "--out", "o", "--count", "x"], "from 3 up"),
        (["intrinsics", "--camera", "0", "--out", "o", "--every", "-1"], "above 0"),
        (["floor", "--camera", "0", "--calibration", "c", "--out", "o", "--thickness", "inf"], "not a number"),
        (["from-person", "--camera", "0", "--out", "o", "--height", "tall"], "not a number"),
        (["calibrate"], "invalid choice: 'calibrate'"),
        # Flags that other commands have, and that would do nothing here.
        (["intrinsics", "--camera", "0", "--out", "o", "--letterbox", "fit"], "--letterbox"),
        (["intrinsics", "--camera", "0", "--out", "o", "--sync-offset", "cam0=1"], "--sync-offset"),
        (["floor", "--camera", "0", "--calibration", "c", "--out", "o", "--picture", "p.png"], "--picture"),
        (["from-person", "--camera", "0", "--out", "o", "--height", "1750", "--no-window"], "--no-window"),
        (["sync", "--camera", "0", "--picture", "p.png"], "--picture"),
        (["sync", "--camera", "0", "--every", "1"], "--every"),
    ],
)
def test_a_mistaken_flag_is_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    error = capsys.readouterr().err
    assert left.value.code == 2 and len(error.splitlines()) == 1
    assert error.startswith("calibration") and message in error


@pytest.fixture
def live(monkeypatch):
    """Every source plays as if it were live."""
    monkeypatch.setattr(session, "make_source", lambda config: make_source(replace(config, realtime=True)))


@pytest.mark.parametrize("reason", ["the display :9 cannot be used", None])
def test_a_window_comes_only_where_there_is_a_display(live, monkeypatch, tmp_path, capsys, reason):
    shown = []
    monkeypatch.setattr(window, "available", lambda: reason)
    monkeypatch.setattr(capture, "show", lambda *_: shown.append(True))
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    assert main(["intrinsics", "--camera", "synthetic:frames=3", "--out", str(tmp_path / "o.toml")]) == 2
    assert bool(shown) == (reason is None)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("no window")]
    assert lines == ([] if reason is None else [f"no window: {reason}; going on without one"])


def stop_at_boards(monkeypatch):
    """The counts with which ``check`` asks for positions of the board; it gets none."""
    counts = []

    def boards_seen(args, opened, cameras, board, count, least):
        counts.append(count)
        raise CalibrationError("none")

    monkeypatch.setattr(judge, "boards_seen", boards_seen)
    return counts


def check_figures(tmp_path, *flags):
    both = tuple(look_at(n, [x, -2e3, 999], [0, 0, 900], size=(640, 480)) for n, x in (("a", -500), ("b", 500)))
    save_calibration(Calibration(both), tmp_path / "rig.toml")
    sources = ["--camera", "a=synthetic:frames=3", "--camera", "b=synthetic:frames=4"]
    return main(["check", *sources, "--calibration", str(tmp_path / "rig.toml"), "--no-window", *flags])


def test_check_looks_at_all_of_a_recording(monkeypatch, tmp_path):
    counts = stop_at_boards(monkeypatch)
    assert check_figures(tmp_path) == 2 and counts == [60]


def test_a_live_check_ends_after_ten_positions_or_as_many_as_are_asked_for(live, monkeypatch, tmp_path):
    counts = stop_at_boards(monkeypatch)
    assert check_figures(tmp_path) == 2 and check_figures(tmp_path, "--count", "4") == 2
    assert counts == [10, 4]


def test_a_person_is_looked_at_as_often_as_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(session, "detector_for", lambda *_: None)
    monkeypatch.setattr(session, "collect_joints", lambda feeds, sessions, every, seconds: asked.append(every))
    for flags in ([], ["--every", "0.5"]):
        command = ["from-person", "--camera", "0", "--height", "1750", "--out", "o", *flags]
        session.joints_seen(parser().parse_args(command), [], [])
    assert asked == [0.1, 0.5]


def test_of_files_a_detector_sees_the_same_whatever_is_the_fastest_here():
    feed = Feed("a", (640, 480), lambda: None)
    said = session.detector_for("movenet-lightning", [feed]).describe()
    assert said["runtime"].startswith("onnxruntime") and (said["precision"], said["device"]) == ("fp32", "cpu")
    assert said["finder_runtime"].endswith("fp32") and said["choice"] == "asked for"
    live = session.detector_for("movenet-lightning", [feed, replace(feed, live=True)]).describe()
    assert live["choice"] != "asked for"


def test_wrong_board_is_said(shots, tmp_path, capsys):
    other = ["--dictionary", "DICT_4X4_50", *FLAGS]
    assert (
        main(["intrinsics", "--camera", f"left={shots / 'lens' / 'left'}", *other, "--out", str(tmp_path / "o.toml")])
        == 2
    )
    error = capsys.readouterr().err
    assert "the board was found in 0 of 18 images" in error and "of DICT_5X5_50 were seen" in error
    # The size of its markers is measured, too.
    smaller = ["--square", "80", "--marker", "20", "--out", str(tmp_path / "o.toml")]
    assert main(["intrinsics", "--camera", f"left={shots / 'lens' / 'left'}", *smaller]) == 2
    assert "of a square wide, and 20 in 80 mm are 0.25" in capsys.readouterr().err


def test_a_calibration_that_does_not_pass_is_written_only_when_asked_for(shots, tmp_path, capsys):
    save_calibration(Calibration(TRUE, placed=False), tmp_path / "lens.toml")
    # The cameras looked at different boards: nothing fits.
    wrong = ["extrinsics", *cameras(shots, "lens"), *FLAGS, "--intrinsics", str(tmp_path / "lens.toml")]
    out = tmp_path / "rig.toml"
    assert main([*wrong, "--out", str(out), "--force"]) == 1
    error = capsys.readouterr().err
    assert "not written: camera left fits to" in error and "known lengths do not come out" in error and not out.exists()
    assert main([*wrong, "--out", str(out), "--anyway"]) == 0 and out.exists()


def test_a_person_who_is_not_to_be_believed_places_cameras_only_when_asked_for(shots, tmp_path, monkeypatch, capsys):
    save_calibration(Calibration(TRUE, placed=False), tmp_path / "lens.toml")
    # No body: every joint jumps about by itself, so limbs change their length.
    joints = walker(60) * [0.5, 0.5, 1] + np.random.default_rng(0).normal(0, 250, (60, 17, 3))
    joints[..., 2] = np.maximum(joints[..., 2], 50)
    seen = look(TRUE, joints, np.random.default_rng(1), noise=0.5, outliers=0)
    monkeypatch.setattr(solve, "joints_seen", lambda *_: seen)
    command = ["from-person", *cameras(shots, "lens"), "--intrinsics", str(tmp_path / "lens.toml"), "--height", "1750"]
    out = tmp_path / "person.toml"
    assert main([*command, "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "not written: " in error and "limbs change their length by" in error and not out.exists()
    assert "left: a person in" in error
    assert main([*command, "--out", str(out), "--anyway"]) == 0 and load_calibration(out).placed


def test_a_square_of_another_length_than_that_of_the_lenses_asks_before_anything_is_opened(shots, tmp_path, capsys):
    lens, out = tmp_path / "lens.toml", tmp_path / "rig.toml"
    made = {"board": Board("charuco", (7, 5), 78.5, 58).describe()}
    save_calibration(Calibration(TRUE, placed=False, made=made), lens)
    command = ["extrinsics", "--camera", "left=gone", "--camera", "right=gone2", "--intrinsics", str(lens)]
    assert main([*command, *FLAGS, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "--square 80, but the lenses of" in error and "were made with --square 78.5" in error and "--anyway" in error
    for flags in ([*FLAGS, "--anyway"], ["--square", "78.55", "--marker", "58"]):
        assert main([*command, *flags, "--out", str(out)]) == 2
        assert "gone" in (error := capsys.readouterr().err) and "--square" not in error


def test_a_camera_without_a_place_is_placed_and_folders_find_their_cameras(shots, tmp_path, capsys):
    mixed, rig = tmp_path / "mixed.toml", tmp_path / "rig.toml"
    lens = replace(TRUE[1], R=np.eye(3), t=np.zeros(3))
    save_calibration(Calibration(TRUE[:1], lenses=(lens,)), mixed)
    sources = [flag for name in ("right", "left") for flag in ("--camera", str(shots / "rig" / name))]
    assert main(["extrinsics", *sources, *FLAGS, "--intrinsics", str(mixed), "--out", str(rig)]) == 0
    error = capsys.readouterr().err
    assert "not placed: right" in error and "left = left" in error
    placed = load_calibration(rig)
    turn, move = pose_errors([placed["left"], placed["right"]], TRUE)
    assert turn < 0.5 and move < 30
    # As a finished calibration it has only what is placed.
    assert main(["check", *sources, *FLAGS, "--calibration", str(mixed)]) == 2
    assert "'right' has a lens in the calibration, but no place; leave it out" in capsys.readouterr().err


def test_convert_states_gravity(tmp_path, capsys):
    camera = look_at("a", [0, -2000.0, 1000], [0, 0, 900])
    save_calibration(Calibration((camera,)), tmp_path / "p.toml", "pose2sim")
    assert main(["convert", str(tmp_path / "p.toml"), str(tmp_path / "o.toml"), "--up", "0,0,2"]) == 0
    np.testing.assert_array_equal(load_calibration(tmp_path / "o.toml").up, [0, 0, 1])
    assert main(["convert", str(tmp_path / "p.toml"), str(tmp_path / "q.toml")]) == 0
    assert "up is not known" in capsys.readouterr().err


def test_boards_by_flags():
    def board(*flags):
        return board_of(parser().parse_args(["board", "--out", "x.pdf", *flags]))

    assert board() == Board("charuco", (7, 5), 35, 26)
    assert board("--board", "chessboard", "--corners", "4x7", "--square", "60") == Board("chessboard", (5, 8), 60)
    for made in (
        board("--squares", "9x6", "--square", "50", "--legacy"),
        board("--board", "chessboard", "--corners", "8x5"),
    ):
        assert board(*made.describe().split()) == made


class Shot:
    def __init__(self, index, t, image):
        self.index, self.t, self.image = index, t, image


def feed(name, times, offset=0.0, live=False):
    shots = iter([Shot(i, t, np.full((60, 80, 3), i, np.uint8)) for i, t in enumerate(times)])
    return Feed(name, (80, 60), lambda: next(shots, None), live=live, fps=30.0, offset=offset)


def test_frame_sets_match_by_time_not_by_number():
    a = feed("a", np.arange(30) / 30)
    b = feed("b", np.arange(4, 40) / 30 + 0.003)
    c = feed("c", np.arange(30) / 30 - 1.0, offset=1.0)
    out = list(frame_sets([a, b, c], 0.1))
    assert [round(t * 30) for t, _ in out] == list(range(0, 40, 3)), "to the end of the last one"
    assert [sorted(images) for _, images in out[10:]] == [["b"]] * 4
    for t, images in out[:10]:
        number = round(t * 30)
        assert images["a"][0, 0, 0] == number and images["c"][0, 0, 0] == number
        assert ("b" in images) == (number >= 4)
        if "b" in images:
            assert images["b"][0, 0, 0] == number - 4


def test_a_live_camera_keeps_only_still_sharp_and_new_views(shots):
    one, two = (np.array(cv2.imread(str(shots / "lens" / "left" / f"00{i}.png")), np.uint8) for i in (0, 1))
    blurred = cv2.GaussianBlur(two, (0, 0), 5)
    collector = LensCollector(BOARD, SIZE, 2, still=True)
    for image, kept in ((one, 0), (one, 1), (one, 1), (two, 1), (two, 2), (two, 2), (blurred, 2), (one, 2)):
        collector.look(image, "")
        assert len(collector.views) == kept
    assert collector.status().startswith("2/2 views")
    shown = iter([Shot(i, i / 10, image) for i, image in enumerate((one, one, two, two))])
    kept, last = collect_lens(Feed("left", SIZE, lambda: next(shown, None), live=True), BOARD, 0.1, 9, window=False)
    assert len(kept.views) == 2 and last is two


def test_live_a_board_held_still_for_long_is_one_position(shots):
    def still(camera, numbers):
        images = [np.array(cv2.imread(str(shots / "rig" / camera / f"{i:03}.png")), np.uint8) for i in numbers]
        shown = iter([Shot(k, k / 10, image) for k, image in enumerate(i for i in images for _ in range(4))])
        return Feed(camera, SIZE, lambda: next(shown, None), live=True)

    def together(count, least=2):
        feeds = [still(name, (0, 1, 2)) for name in ("left", "right")]
        return collect_together(feeds, BOARD, 0.1, count, least, window=False)

    found = together(9)
    # Twelve moments of three places, the first of each not still yet.
    assert found.looked == 12 and len(found.frames) == 3 and found.seen == {"left": 9, "right": 9}
    # Where one is wanted, the best of many is taken.
    assert len(together(1).frames) == 1 and together(1).looked > 4


def test_a_board_on_the_wall_is_no_floor():
    wall = np.stack([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]], 1)
    views = {c.name: see(c, BOARD, wall, np.array([-280.0, 0, 1000]), np.random.default_rng(0), 0.1) for c in TRUE}
    assert "from the tops of the images" in "".join(floor_from_board(TRUE, BOARD, views).remarks)
    flat = np.diag([1.0, -1, -1])
    views = {c.name: see(c, BOARD, flat, np.array([-280.0, 0, 0]), np.random.default_rng(0), 0.1) for c in TRUE}
    assert floor_from_board(TRUE, BOARD, views).remarks == ()


def test_epipolar_error_and_the_picture():
    rng = np.random.default_rng(0)
    X = rng.uniform([-500, -500, 0], [500, 500, 1800], (40, 17, 3))
    xy = np.stack([world_to_image(c, X) for c in TRUE])
    assert np.abs(epipolar_error(TRUE[0], TRUE[1], xy[0], xy[1])).max() < 1e-6
    across = xy.copy()
    across[1, ..., 1] += 30
    # The lines are nearly level here, so a shift down is nearly all seen.
    assert 20 < np.median(epipolar_error(TRUE[0], TRUE[1], across[0], across[1])) <= 30
    good, bad = (check_person(TRUE, v, np.ones(v.shape[:-1])) for v in (xy, across))
    assert not good.problems and bad.problems and "left - right" in "\n".join(bad.lines())
    assert picture(bad, TRUE).shape[2] == 3
    assert "never together" in check_board(TRUE, BOARD, []).problems[0]
    with pytest.raises(CalibrationError, match="it has a"):
        Calibration((look_at("a", [0, -1.0, 1], [0, 0, 0]),))["b"]
