"""The 3D panel in a window of its own, to be turned with the mouse: Open3D's legacy visualizer, an optional install."""

import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Image
from engines.skeleton import EDGES, HEAD, NECK
from stream.channel import Policy
from stream.control import Control
from stream.drawing import primitives as draw
from stream.drawing.facts import Status
from stream.drawing.figures import Figure, figures, follow, own_colour, shift
from stream.drawing.scene import ViewState, calibrated, world_axes
from stream.recordings.run_info import RunInfo
from stream.sinks import Role, Run, SinkOptions, window
from stream.types import Estimate, StreamError

INSTALL: Final = (
    "pip install -r requirements-open3d.txt, or without a checkout: pip install 'hypothesis-stream[open3d]'"
)
_SIDES: Final = 12
_BONE_MM, _GHOST_MM = 24.0, 9.0
_LABEL_MM, _TEXT_UNITS = 150.0, 11.0  # height of a digit, and in what Open3D makes
_HEAD_MM: Final = 95.0
_AROUND: Final = np.array([-1, 1]) * 1200.0  # mm around a pelvis: a person with both arms up or out
_GLFW: Final = {"q": 81, "r": 82, "e": 69, "space": 32, "escape": 256, "home": 268}
_HELP: Final = "q quit, space pause, r record, e mark, Home first view"


def available() -> str | None:
    """Why this viewer cannot be used here, or None when it can; imports Open3D (1 s)."""
    # Without a display that answers, Open3D draws off the screen and says nothing, so it has to be asked for here.
    if os.environ.get("DISPLAY") or not os.environ.get("WAYLAND_DISPLAY"):
        reason = window.available()
        if reason is not None:
            return reason
    try:
        importlib.import_module("open3d")
    except ImportError as error:
        return f"Open3D is not installed; {INSTALL}" if error.name == "open3d" else f"Open3D does not load: {error}"
    return None


def tubes(a: Array, b: Array, radius: Array) -> Array:
    """Vertices of closed tubes, ``_SIDES`` around each end.

    Args:
        a: (N, 3) starts, mm.
        b: (N, 3) ends, mm; a tube with a NaN becomes a point where nobody sees it.
        radius: (N,) mm.

    Returns:
        (N * 2 * _SIDES, 3) mm.
    """
    good = np.asarray(np.isfinite(a) & np.isfinite(b)).all(-1, keepdims=True)
    a, b = np.where(good, a, 0), np.where(good, b, 0)
    radius = np.where(good, radius[:, None], 0.0)[:, 0]
    along = b - a
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
    # Any direction that is not along the tube will do for the first of the two across it.
    other = np.where(np.abs(along[:, 2:]) < 0.9, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    u = np.cross(along, other)
    u = u / np.maximum(np.linalg.norm(u, axis=-1, keepdims=True), 1e-6)
    v = np.cross(along, u)
    angle = np.arange(_SIDES) * 2 * np.pi / _SIDES
    ring = (np.cos(angle)[:, None] * u[:, None] + np.sin(angle)[:, None] * v[:, None]) * radius[:, None, None]
    return np.concatenate([a[:, None] + ring, b[:, None] + ring], 1).reshape(-1, 3)


def tube_triangles(count: int) -> NDArray[np.int32]:
    """(count * 4 * (_SIDES - 1), 3) vertex indexes of the triangles of ``tubes``, sides and both ends."""
    k = np.arange(_SIDES)
    following = (k + 1) % _SIDES
    sides = np.concatenate(
        [np.stack([k, following, k + _SIDES], 1), np.stack([following, following + _SIDES, k + _SIDES], 1)]
    )
    fan = np.stack([np.zeros(_SIDES - 2, int), k[2:], k[1:-1]], 1)
    caps = np.concatenate([fan, fan[:, ::-1] + _SIDES])
    one = np.concatenate([sides, caps])
    return (one[None] + np.arange(count)[:, None, None] * 2 * _SIDES).reshape(-1, 3).astype(np.int32)


def _rgb(colour: draw.Colour) -> Array:
    return np.array(colour[::-1]) / 255.0


class Open3D:
    """Shows the people, their ghosts and the cameras in Open3D. Every call comes from the main thread."""

    policy: Policy = "latest"
    wants_images = False

    def __init__(
        self,
        control: Control | None = None,
        *,
        title: str = "hypothesis stream 3D",
        status: Callable[[], Status] = Status,
        view: ViewState | None = None,
        hold: bool = False,
    ) -> None:
        """Check that Open3D is there and that it has a display; arguments as those of ``Window``.

        Raises:
            StreamError: if it cannot be used, with the line that installs it.
        """
        reason = available()
        if reason is not None:
            raise StreamError(f"no Open3D view: {reason}")
        self._o3d: Any = importlib.import_module("open3d")
        self._control, self._title = control or Control(), title
        self._status, self._hold = status, hold
        self._view = view or ViewState()
        self._told = ""
        self._visualizer: Any = None
        self._aimed = False
        self._texts: dict[str, tuple[Array, NDArray[np.int_]]] = {}

    def open(self, run_info: RunInfo) -> None:
        """Open the window. Raises StreamError when Open3D cannot."""
        o3d = self._o3d
        self._view = replace(self._view, cameras=run_info.cameras)
        visualizer = o3d.visualization.VisualizerWithKeyCallback()
        if not visualizer.create_window(f"{self._title}: {_HELP}", 960, 720):
            raise StreamError(
                "no Open3D view: its window cannot be opened (no OpenGL here?); use --view window or none"
            )
        option = visualizer.get_render_option()
        option.background_color = _rgb(draw.PANEL)
        option.mesh_show_back_face = True
        self._visualizer = visualizer
        self._ghosts = max(run_info.kernels - 1, 0)
        ball = o3d.geometry.TriangleMesh.create_sphere(_HEAD_MM, 10)
        self._ball = np.asarray(ball.vertices), np.asarray(ball.triangles)
        self._mesh = o3d.geometry.TriangleMesh()
        self._room_for(1)
        visualizer.add_geometry(self._mesh)
        nothing = o3d.utility.Vector3dVector(np.zeros((1, 3))), o3d.utility.Vector3iVector(np.zeros((1, 3), np.int32))
        self._labels = o3d.geometry.TriangleMesh(*nothing)
        visualizer.add_geometry(self._labels)
        self._floor = o3d.geometry.LineSet()
        at = np.arange(-2000.0, 2001.0, 500.0)
        ends = [[[x, -2000, 0], [x, 2000, 0]] for x in at] + [[[-2000, y, 0], [2000, y, 0]] for y in at]
        self._grid = np.array(ends, float).reshape(-1, 3)
        self._floor.points = o3d.utility.Vector3dVector(self._grid)
        self._floor.lines = o3d.utility.Vector2iVector(np.arange(len(self._grid)).reshape(-1, 2))
        self._floor.paint_uniform_color(_rgb(draw.GRID))
        visualizer.add_geometry(self._floor)
        self._add_cameras()
        for name, action in (
            ("q", self._on_quit),
            ("space", self._on_pause),
            ("r", self._on_record),
            ("e", self._on_mark),
            ("escape", self._on_quit),
            ("home", self._on_home),
        ):
            visualizer.register_key_callback(_GLFW[name], action)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Show a frame set, unless the picture is held."""
        if not self._control.paused:
            self._view = follow(self._view, estimate)
            self._update(estimate)
        self.poll()

    def poll(self, wait_ms: int = 0) -> None:
        """Let the toolkit work; to be called when nothing comes. Stops the run when the window was closed."""
        if self._visualizer is None:
            return
        if self._visualizer.poll_events():
            self._keep_level()
            self._visualizer.update_renderer()
            self._tell()
        else:
            self._control.stop()

    def close(self) -> str | None:
        """Close the window, where it is to hold the last picture after the user has ended it."""
        while self._hold and self._visualizer is not None and self._control.ended:
            self.poll()
            time.sleep(0.02)
        if self._visualizer is not None:
            self._visualizer.destroy_window()
            self._visualizer = None
        return None

    def _room_for(self, people: int) -> None:
        """Make the mesh large enough; it never shrinks, people who are not there being points where nobody looks."""
        o3d, count = self._o3d, people * (1 + self._ghosts) * len(EDGES)
        self._people = people
        ball, corners = self._ball
        first = count * 2 * _SIDES
        heads = corners[None] + first + np.arange(people)[:, None, None] * len(ball)
        self._mesh.vertices = o3d.utility.Vector3dVector(np.zeros((first + people * len(ball), 3)))
        self._mesh.triangles = o3d.utility.Vector3iVector(
            np.concatenate([tube_triangles(count), heads.reshape(-1, 3).astype(np.int32)])
        )

    def _body(self, person: Figure) -> tuple[Array, Array]:
        """The answer and the ghosts, (1 + ghosts, 17, 3) mm, and the colours of their bones, (1 + ghosts, 16, 3)."""
        bodies, opacity = np.full((1 + self._ghosts, 17, 3), np.nan), np.ones(1 + self._ghosts)
        moved, own = shift(person, self._view), own_colour(self._view, person.person_id)
        bodies[0] = person.joints + moved
        # The most probable ghosts, should there be more of them than were announced.
        for k, (joints, probability) in enumerate(person.ghosts[::-1][: self._ghosts], 1):
            bodies[k], opacity[k] = joints + moved, 0.2 + 0.6 * probability
        colours = np.array([_rgb(own or draw.side_colour(joint)) for _, joint in EDGES])
        # The legacy renderer has no transparency: a ghost is mixed with the background instead.
        share = opacity[:, None, None]
        return bodies, _rgb(draw.PANEL) * (1 - share) + colours * share

    def _label(self, people: Sequence[Figure]) -> None:
        """Everybody's id over the head, upright in the picture from wherever one looks."""
        o3d, view = self._o3d, self._visualizer.get_view_control().convert_to_pinhole_camera_parameters()
        # Never empty, which Open3D warns of.
        vertices, triangles, count = [np.zeros((1, 3))], [np.zeros((1, 3), int)], 1
        colours: list[Array] = [np.zeros((1, 3))]
        for person in people:
            own = own_colour(self._view, person.person_id)
            joints = person.joints + shift(person, self._view)
            if own is None or not np.isfinite(joints[:, 2]).any():
                continue
            flat, corners = self._words(str(person.person_id))
            top = joints[np.nanargmax(joints[:, 2])] + [0, 0, 120.0]
            vertices.append(flat @ (view.extrinsic[:2, :3] * [[1], [-1]]) + top)
            triangles.append(corners + count)
            colours.append(np.repeat(_rgb(own)[None], len(flat), 0))
            count += len(flat)
        self._labels.vertices = o3d.utility.Vector3dVector(np.concatenate(vertices))
        self._labels.triangles = o3d.utility.Vector3iVector(np.concatenate(triangles).astype(np.int32))
        self._labels.vertex_colors = o3d.utility.Vector3dVector(np.concatenate(colours))
        self._visualizer.update_geometry(self._labels)

    def _words(self, words: str) -> tuple[Array, NDArray[np.int_]]:
        """Text in a plane, (V, 2) mm, its foot in the middle at the origin, and its triangles, (T, 3)."""
        if words not in self._texts:
            made = self._o3d.t.geometry.TriangleMesh.create_text(words, depth=0).to_legacy()
            flat = np.asarray(made.vertices)[:, :2] * (_LABEL_MM / _TEXT_UNITS)
            self._texts[words] = flat - [np.ptp(flat[:, 0]) / 2 + flat[:, 0].min(), 0], np.asarray(made.triangles)
        return self._texts[words]

    def _update(self, estimate: Estimate) -> None:
        o3d, stage = self._o3d, self._view.stage
        people = figures(estimate, self._view)
        if len(people) > self._people:
            self._room_for(len(people))
            self._aimed = False  # more people than ever: nobody shall stand outside of the picture
        bodies = np.full((self._people, 1 + self._ghosts, 17, 3), np.nan)
        colours = np.zeros((self._people, 1 + self._ghosts, len(EDGES), 3))
        for k, person in enumerate(people):
            bodies[k], colours[k] = self._body(person)
        a, b = np.array(EDGES).T
        radius = np.full((self._people, 1 + self._ghosts, len(EDGES)), _GHOST_MM)
        radius[:, 0] = _BONE_MM
        vertices = tubes(bodies[..., a, :].reshape(-1, 3), bodies[..., b, :].reshape(-1, 3), radius.reshape(-1))
        # The head of each answer; those of nobody are points where nobody looks.
        heads = (bodies[:, 0, HEAD] + bodies[:, 0, NECK]) / 2
        seen = np.asarray(np.isfinite(heads).all(-1))[:, None, None]
        balls = np.where(seen, heads[:, None] + self._ball[0], 0.0)
        own = [own_colour(self._view, p.person_id) or draw.MIDDLE for p in people]
        paint = np.array([_rgb(c) for c in own] + [np.zeros(3)] * (self._people - len(own))).reshape(-1, 3)
        self._mesh.vertices = o3d.utility.Vector3dVector(np.concatenate([vertices, balls.reshape(-1, 3)]))
        self._mesh.vertex_colors = o3d.utility.Vector3dVector(
            np.concatenate([np.repeat(colours.reshape(-1, 3), 2 * _SIDES, 0), np.repeat(paint, len(self._ball[0]), 0)])
        )
        self._mesh.compute_vertex_normals()
        self._visualizer.update_geometry(self._mesh)
        if stage is not None and np.isfinite(stage.root).all():
            corner = np.array([*(np.round(stage.root[:2] / 500) * 500), stage.floor])
            self._floor.points = o3d.utility.Vector3dVector(self._grid + corner)
            self._visualizer.update_geometry(self._floor)
            if not self._aimed:
                roots = bodies[: len(people), 0, 0]
                self._aim((roots.min(0) + roots.max(0)) / 2 if np.isfinite(roots).all() and len(roots) else stage.root)
                self._aimed = True
        self._label(people)

    def _aim(self, target: Array) -> None:
        """Look at the people from the same side as the drawn panel does; from then on the mouse decides.

        Open3D fits what there is into the window: so something with room for raised arms is there for a moment.
        """
        o3d = self._o3d
        reach = self._view.stage.reach if self._view.stage else 0.0
        room = np.array([[x, y, z] for x in _AROUND for y in _AROUND for z in _AROUND]) * (1 + reach / 1200)
        box = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(target + room))
        self._visualizer.add_geometry(box, True)
        self._visualizer.reset_view_point(True)
        self._visualizer.remove_geometry(box, False)
        yaw, pitch = np.radians(self._view.yaw), np.radians(self._view.pitch)
        control = self._visualizer.get_view_control()
        control.set_front([np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
        control.set_lookat(target)
        control.set_up([0, 0, 1])
        control.set_zoom(0.75 / self._view.zoom)

    def _keep_level(self) -> None:
        """Take back what the mouse has rolled and carried away: the horizon stays level, the people in the view."""
        visualizer, stage = self._visualizer, self._view.stage
        control = visualizer.get_view_control()
        pinhole = control.convert_to_pinhole_camera_parameters()
        extrinsic = np.array(pinhole.extrinsic)
        right, forward = extrinsic[0, :3], extrinsic[2, :3]
        if stage is not None and self._aimed and np.isfinite(stage.root).all():
            x, y, z = extrinsic[:3, :3] @ stage.root + extrinsic[:3, 3]
            K = np.array(pinhole.intrinsic.intrinsic_matrix)
            outside = z <= 0 or abs(K[0, 0] * x / z) > 2 * K[0, 2] or abs(K[1, 1] * y / z) > 2 * K[1, 2]
            if outside:  # no drag that one means does this
                self._aim(stage.root)
                return
        if abs(right[2]) > 1e-3 and abs(forward[2]) < 0.98:
            control.set_front(-forward)
            control.set_up([0, 0, 1])

    def _tell(self) -> None:
        """Say above the picture what the window says in it: the legacy viewer has no text, but it has a background."""
        status = self._status()
        now = "paused" if self._control.paused else "recording" if status.recording else ""
        if now != self._told and self._visualizer is not None:
            self._told = now
            tint = {"paused": draw.SIDE_RIGHT, "recording": draw.RED}.get(now)
            ground = draw.PANEL if tint is None else draw.mix(draw.PANEL, tint, 0.18)
            self._visualizer.get_render_option().background_color = _rgb(ground)

    def _add_cameras(self) -> None:
        o3d = self._o3d
        cameras = calibrated(self._view)
        if len(cameras) < 2:
            return
        R, _ = world_axes(cameras)
        turn = np.eye(4)
        turn[:3, :3] = R.T
        for camera in cameras:
            extrinsic = np.eye(4)
            extrinsic[:3, :3], extrinsic[:3, 3] = camera.R, camera.t
            lines = o3d.geometry.LineSet.create_camera_visualization(
                *camera.size, np.array(camera.K), extrinsic @ turn, 300.0
            )
            lines.paint_uniform_color(_rgb(draw.DIM))
            self._visualizer.add_geometry(lines)

    # False: no redraw is needed.
    def _on_quit(self, _: Any) -> bool:
        self._control.stop()
        return False

    def _on_home(self, _: Any) -> bool:
        self._aimed = False
        if self._view.stage is not None and np.isfinite(self._view.stage.root).all():
            self._aim(self._view.stage.root)
            self._aimed = True
        return False

    def _on_pause(self, _: Any) -> bool:
        self._control.pause()
        return False

    def _on_mark(self, _: Any) -> bool:
        self._control.event("key", "mark")
        return False

    def _on_record(self, _: Any) -> bool:
        self._control.record()
        return False


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """None: ``--view`` chooses it."""

    role: ClassVar[Role] = "viewer"

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be used here."""
        return available()

    def make(self, run: Run) -> Open3D:
        """The window."""
        return Open3D(run.control, status=run.status, view=run.view, hold=run.hold)
