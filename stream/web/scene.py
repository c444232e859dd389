"""What the page draws, as plain values for JSON: once what holds for a run, then one message a moment. Pure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.arrays import Array
from engines.skeleton import EDGES, JOINTS, LEFT, RIGHT
from stream.drawing import primitives as draw
from stream.drawing.compose import scene_title
from stream.drawing.figures import Figure, figures, own_colour, shift
from stream.drawing.scene import ViewState, calibrated, camera_to_stage
from stream.recordings.run_info import CameraInfo, up_in_words
from stream.types import Estimate, Person

_FAINT = 0.02  # a hypothesis less probable than that is not worth sending


def header(view: ViewState) -> dict[str, Any]:
    """What holds for a whole run: names, the skeleton and where the cameras stand.

    Args:
        view: the cameras of the run.

    Returns:
        Lengths in millimetres, stage axes (``stream/drawing/scene.py``): x right, y forward, z up.
    """
    several = len(calibrated(view)) > 1
    alone = len(view.cameras) == 1
    return {
        "joints": list(JOINTS),
        "edges": [list(edge) for edge in EDGES],
        "sides": [1 if j in LEFT else 2 if j in RIGHT else 0 for j in range(len(JOINTS))],
        "colours": {
            "left": _hex(draw.SIDE_LEFT), "right": _hex(draw.SIDE_RIGHT), "middle": _hex(draw.MIDDLE),
            "panel": _hex(draw.PANEL), "grid": _hex(draw.GRID), "dim": _hex(draw.DIM),
        },
        "floor": up_in_words(view.cameras),
        "grid": 1000 if several else 500,
        "cameras": [
            {"name": camera.name, "size": camera.size}
            | (_frustum(view, index, camera) if camera.calibration is not None or alone else {})
            for index, camera in enumerate(view.cameras)
        ],
        "yaw": view.yaw,
        "pitch": view.pitch,
    }  # fmt: skip


def _frustum(view: ViewState, index: int, camera: CameraInfo) -> dict[str, Any]:
    """Where a camera is and where the corners of its image point to, at a depth of 1 m; lenses are drawn straight."""
    width, height = camera.size or (16, 9)
    if camera.calibration is not None:
        K = camera.calibration.K
        focal, centre = np.array([K[0, 0], K[1, 1]]), np.array([K[0, 2], K[1, 2]])
    else:
        half = np.tan(np.radians((camera.fov_degrees or 60.0) / 2))
        focal, centre = np.full(2, max(width, height) / 2 / half), (np.array([width, height]) - 1) / 2
    edge = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    corners = np.concatenate([(edge - centre) / focal, np.ones((4, 1))], axis=1) * 1000
    points = camera_to_stage(view, index, np.concatenate([np.zeros((1, 3)), corners]))
    return {"at": _whole(points[0]), "corners": _whole(points[1:])}


def moment(estimate: Estimate, view: ViewState, *, ghosts: bool = True) -> dict[str, Any]:
    """One moment: everybody's joints, hypotheses, sigmas and probabilities.

    Args:
        estimate: the result of a frame set.
        view: after ``follow`` with it, so that places and colours are those of the window.
        ghosts: whether the hypotheses of fused people are told too, at the place of the fused pelvis.

    Returns:
        Whole millimetres in stage axes; joints (17 * 3), and one standard deviation as the lower triangle of the
        Cholesky factor of each joint's covariance (17 * 6), which makes a unit sphere its ellipsoid. None: not known.
    """
    people = figures(estimate, view)
    by_id = {person.person_id: person for person in estimate.people}
    stage = view.stage
    told: dict[str, Any] = {
        "index": estimate.index,
        "t": round(estimate.t, 4),
        "title": scene_title(people, len(view.cameras), len(estimate.frames) > 1),
        "left_out": estimate.left_out,
        "frames": [None if frame is None else frame.frame_index for frame in estimate.frames],
        "people": [_person(figure, by_id[figure.person_id], view, ghosts) for figure in people],
    }
    if stage is not None and np.isfinite(stage.root).all():
        told["middle"], told["ground"] = _whole(stage.root), round(stage.floor)
    return told


def _person(figure: Figure, person: Person, view: ViewState, ghosts: bool) -> dict[str, Any]:
    moved = shift(figure, view)
    own = own_colour(view, figure.person_id)
    shown = [(pose + moved, p) for pose, p in figure.ghosts]
    if ghosts and figure.method:
        shown = _hypotheses(figure, person, view)
    return {
        "id": figure.person_id,
        "colour": None if own is None else _hex(own),
        "joints": _whole(figure.joints + moved),
        "sigma": _factors(figure, person, view),
        "ghosts": [[round(float(p), 3), _whole(pose)] for pose, p in shown if p >= _FAINT],
        "p": None if np.isnan(figure.probability) else round(float(figure.probability), 3),
        "method": figure.method,
        "used": list(figure.used),
        "camera": figure.camera,
        "views": [
            [k, sorted((round(float(track.probability), 3) for track in seen.tracks), reverse=True)]
            for k, seen in enumerate(person.views)
            if seen is not None and seen.tracks
        ],
    }


def _hypotheses(figure: Figure, person: Person, view: ViewState) -> list[tuple[Array, float]]:
    """Those of every view of a fused person, their pelvis put where the fused one is."""
    found = []
    for k, seen in enumerate(person.views):
        if seen is not None and seen.tracks:
            poses = camera_to_stage(view, k, np.array([track.pose for track in seen.tracks]))
            poses = poses - poses[:, :1] + figure.joints[0]
            found += zip(poses, (track.probability for track in seen.tracks), strict=True)
    return found


def _factors(figure: Figure, person: Person, view: ViewState) -> list[int | None] | None:
    """(17 * 6) mm: the lower triangles, a row after another."""
    cov = figure.cov
    if cov is None:
        names = [camera.name for camera in view.cameras]
        seen = person.views[names.index(figure.camera)] if figure.camera in names else None
        best = None if seen is None else seen.best_track
        if seen is None or seen.mixture is None or best is None:
            return None
        sigma = np.asarray(seen.mixture.sigma[seen.tracks.index(best)], float)
        cov = np.eye(3) * sigma[:, None, None] ** 2
    known = np.isfinite(cov).all((1, 2))
    # A millimetre more, so that what is rounded to a flat ellipsoid is none that has no factor.
    factors = np.full((len(JOINTS), 3, 3), np.nan)
    factors[known] = np.linalg.cholesky(_positive(cov[known]) + np.eye(3))
    return _whole(factors[:, *np.tril_indices(3)])


def _positive(cov: Array) -> Array:
    """The nearest covariances without a negative variance: rounding of a recording may leave one."""
    values, vectors = np.linalg.eigh((cov + np.swapaxes(cov, 1, 2)) / 2)
    return vectors * np.maximum(values, 0)[:, None] @ np.swapaxes(vectors, 1, 2)


def _whole(values: Array) -> list[int | None]:
    flat = np.rint(np.asarray(values, float)).reshape(-1)
    if np.isfinite(flat).all():
        return flat.astype(int).tolist()
    return [int(value) if np.isfinite(value) else None for value in flat]


def _hex(colour: Sequence[int]) -> str:
    b, g, r = colour
    return f"#{r:02x}{g:02x}{b:02x}"
