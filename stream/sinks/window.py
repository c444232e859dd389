"""The window: the composed picture on the screen, with keys. Lives in the main thread, as toolkits want it."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import cv2
import numpy as np

from calibration.arrays import Image
from stream.channel import Policy
from stream.control import Control
from stream.drawing import primitives as draw
from stream.drawing.compose import compose
from stream.drawing.facts import Status
from stream.drawing.figures import first_camera, follow
from stream.drawing.picking import pick
from stream.drawing.primitives import Rect
from stream.drawing.scene import STEP, ViewState
from stream.drawing.sheet import text_scale
from stream.recordings.run_info import RunInfo
from stream.sinks import Role, Run, SinkOptions
from stream.sinks._x11_keys import X11Keys
from stream.types import Estimate, StreamError

KEYS_HELP: Final = "h keys, q quit"
"""Stands in the window's title."""

# What waitKeyEx gives: X11 keysyms (Qt and GTK), Win32 virtual keys << 16, Cocoa function keys.
_NAMED: Final = {
    "left": (0xFF51, 0x250000, 0xF702),
    "up": (0xFF52, 0x260000, 0xF700),
    "right": (0xFF53, 0x270000, 0xF703),
    "down": (0xFF54, 0x280000, 0xF701),
    "home": (0xFF50, 0x240000, 0xF729),
    "f1": (0xFFBE, 0x700000, 0xF704),
    "f11": (0xFFC8, 0x7A0000, 0xF70E),
    "escape": (0xFF1B, 27),
}
_KEYPAD: Final = {0xFFAB: "+", 0xFFAD: "-", 0xFF95: "home", **{0xFFB0 + k: str(k) for k in range(10)}}
_PROBE_S: Final = 20.0
_AT_ONCE: Final = 16  # keys that are acted on before the next picture
_DRAG_DEGREES: Final = 0.4  # a pixel of a picture of 1280x720
_CLICK_PX: Final = 5.0  # a mouse that moves farther with its button down drags
_MOST: Final = (3840, 2160)  # px: a larger picture is made so large, and stretched


def key_name(code: int) -> str:
    """The name of a key that ``cv2.waitKeyEx`` reported: "left", "home", "f1", "escape", a character, or ""."""
    if code < 0:
        return ""
    # GTK sets modifier bits (num lock, caps lock) above the keysym.
    keysym = code & 0xFFFF
    for name, codes in _NAMED.items():
        if code in codes or keysym == codes[0]:
            return name
    if keysym in _KEYPAD:
        return _KEYPAD[keysym]
    low = code & 0xFF
    return chr(low).lower() if code & 0xFF00 == 0 and 32 <= low < 127 else ""


def available() -> str | None:
    """Why no window can be opened here, or None when one can.

    On Linux this is tried in a process of its own, because Qt *aborts* the process that cannot reach its display.
    It costs 0.3 s.
    """
    interface = cv2.currentUIFramework()
    if not interface:
        return "this OpenCV was built without windows (opencv-python-headless); reinstall opencv-contrib-python"
    if not sys.platform.startswith("linux"):
        return None
    if not os.environ.get("DISPLAY"):
        if os.environ.get("WAYLAND_DISPLAY"):
            return "OpenCV's windows need X11 and DISPLAY is not set; start Xwayland"
        return "there is no display (DISPLAY is not set)"
    probe = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"
    try:
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=_PROBE_S)
    except subprocess.TimeoutExpired:
        return f"the display {os.environ['DISPLAY']} does not answer"
    except OSError as error:
        return f"the display cannot be tried: {error}"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return f"the display {os.environ['DISPLAY']} cannot be used: {lines[0] if lines else 'the attempt failed'}"


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Within it an environment variable is set, for the one call that reads it; what the host program set stays."""
    before = os.environ.get(name)
    os.environ[name] = value if before is None else before
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


Picture = Callable[[Mapping[str, Image | None], Estimate, Status, ViewState], Image]
"""Makes what is shown of a moment."""


class Window:
    """Shows the composed picture and listens to keys and mouse. Every call comes from the main thread.

    OpenCV's Qt keeps one key: of two that come while nobody listens the first is lost. So under X11 keys are taken from
    the server itself; elsewhere, and for the mouse, a picture is made in a thread of its own, and they are listened to
    meanwhile.
    """

    policy: Policy = "latest"
    wants_images = True

    def __init__(
        self,
        status: Callable[[], Status] = Status,
        control: Control | None = None,
        *,
        title: str = "hypothesis stream",
        size: tuple[int, int] = (1280, 720),
        picture: Picture = compose,
        view: ViewState | None = None,
        hold: bool = False,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Check that there is a display.

        Args:
            status: gives the facts to show.
            control: told what the user presses; the recording shows in the next status.
            title: the window's.
            size: of the window at first, pixels; the picture is made for the size that the user gives it.
            picture: draws it.
            view: from where one looks at first.
            hold: keep the last picture when the sources are at their end, until the user ends it.
            look: called with every moment that is shown.

        Raises:
            StreamError: if no window can be opened.
        """
        reason = available()
        if reason is not None:
            raise StreamError(f"no window: {reason}; use --view none, and --video-out FILE.mp4 to see the result")
        self._picture, self._hold, self._look = picture, hold, look
        self._status, self._control, self._title = status, control or Control(), title
        self._first = self._view = replace(view or ViewState(), size=size)
        self._room = size
        self._shown: tuple[Estimate, Mapping[str, Image | None]] | None = None
        self._open = self._full = False
        self._asked: deque[str | Mouse] = deque()
        self._keys: X11Keys | None = None
        """Tells the keys; None where the toolkit does."""
        self._down: tuple[int, int] | None = None
        self._drag: tuple[int, int] | None = None
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="window-picture")

    @property
    def view(self) -> ViewState:
        """From where the user looks."""
        return self._view

    def open(self, run_info: RunInfo) -> None:
        """Open the window."""
        self._view = replace(self._view, cameras=run_info.cameras)
        # OpenCV's wheel names a folder of Qt fonts that it does not have; Qt would say so at every window.
        with _environment("QT_LOGGING_RULES", "default.warning=false"):
            # GUI_NORMAL: Qt's toolbar and its context menu would take the keys and the right button. FREERATIO: the
            # picture has the window's shape, and the toolkit's bars around another one are bright.
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.setWindowTitle(self._title, f"{self._title}: {KEYS_HELP}")
        cv2.resizeWindow(self._title, *self._view.size)
        cv2.setMouseCallback(self._title, self._on_mouse)
        self._open = True
        self._listen(1)
        if sys.platform.startswith("linux"):
            with suppress(OSError):  # a window of Wayland
                self._keys = X11Keys(self._title)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Show a frame set, unless the picture is held, and act on keys; closing the window stops the run, too."""
        if not self._alive():
            return
        if not self._control.paused:
            self._view = follow(self._view, estimate)
            self._shown = (estimate, images)
            self._look()
            self._draw()
        self.poll(1)

    def poll(self, wait_ms: int = 10) -> None:
        """Let the toolkit work for up to wait_ms ms and act on what was pressed; to be called while nothing comes."""
        if not self._open:
            return
        self._listen(max(wait_ms, 1))
        if not self._alive():
            return
        before = self._view
        again = False
        while self._asked:
            asked = self._asked.popleft()
            again |= self._press(asked) if isinstance(asked, str) else self._mouse(asked)
        if self._view.paused != self._control.paused:  # also where something else asked for it
            self._view = replace(self._view, paused=self._control.paused)
        if again or self._view is not before or self._size() != self._room:
            self._draw()

    def close(self) -> str | None:
        """Close the window, where it is to hold the last picture after the user has ended it."""
        if self._open and self._hold and self._control.ended:
            self._view = replace(self._view, ended=True)
            self._draw()
            while self._open and self._control.ended:
                self.poll(20)
        if self._keys is not None:
            self._keys.close()
        if self._open:
            cv2.destroyWindow(self._title)
            cv2.waitKeyEx(1)
            self._open = False
        self._painter.shutdown()
        return None

    def _alive(self) -> bool:
        """Notice that the user closed the window, which stops the run, before ``imshow`` would open another one."""
        try:
            visible = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE)
        except cv2.error:
            visible = -1.0  # OpenCV 5 with Qt raises when the last window is gone
        if self._open and visible < 1:
            self._open = False
            self._control.stop()
        return self._open

    def _listen(self, wait_ms: int) -> None:
        """Let the toolkit work, and keep what is pressed."""
        if self._keys is not None:
            cv2.waitKeyEx(wait_ms)
            self._asked.extend(map(key_name, self._keys.pressed()))
            return
        for _ in range(_AT_ONCE):
            code = cv2.waitKeyEx(wait_ms)
            if code < 0:
                return
            self._asked.append(key_name(code))
            wait_ms = 1

    def _size(self) -> tuple[int, int]:
        """Width and height of the window's inside, pixels; the last known ones where the toolkit does not tell."""
        try:
            _, _, w, h = cv2.getWindowImageRect(self._title)
        except cv2.error:
            return self._room
        return (w, h) if w > 0 and h > 0 else self._room

    def _draw(self) -> None:
        self._room = self._size()
        self._view = replace(self._view, size=picture_size(self._room))
        if self._shown is None:
            return
        estimate, images = self._shown
        made = self._painter.submit(self._picture, images, estimate, self._status(), self._view)
        while not made.done():
            self._listen(2)
        picture = made.result()
        if self._alive():
            cv2.imshow(self._title, on_dark(picture, self._room))

    def _on_mouse(self, kind: int, x: int, y: int, flags: int, _: object = None) -> None:
        if kind in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONUP, cv2.EVENT_MOUSEWHEEL) or (
            kind == cv2.EVENT_MOUSEMOVE and flags & cv2.EVENT_FLAG_LBUTTON
        ):
            self._asked.append(Mouse(kind, x, y, flags))

    def _mouse(self, mouse: "Mouse") -> bool:
        """Act on the mouse; whether the picture is to be drawn anew."""
        if self._shown is None:
            return False
        estimate, images = self._shown
        at = in_picture((mouse.x, mouse.y), self._view.size, self._room)
        if mouse.kind == cv2.EVENT_MOUSEWHEEL:
            self._view = self._view.zoomed(1.15 if mouse.flags > 0 else 1 / 1.15)
            return True
        if mouse.kind == cv2.EVENT_LBUTTONDOWN:
            self._down = mouse.x, mouse.y
            self._drag = self._down if pick(at, images, estimate, self._view).scene else None
            return False
        if self._down is None:
            return False
        moved = max(abs(mouse.x - self._down[0]), abs(mouse.y - self._down[1])) > _CLICK_PX
        if mouse.kind == cv2.EVENT_MOUSEMOVE:
            if self._drag is None or not moved:
                return False
            degrees = _DRAG_DEGREES / text_scale(self._view.size)
            turn, lift = (mouse.x - self._drag[0]) * degrees, (mouse.y - self._drag[1]) * degrees
            # What is under the mouse goes with it: the eye the other way.
            self._view, self._drag = self._view.turned(-turn, lift), (mouse.x, mouse.y)
            return True
        self._down = self._drag = None
        if moved:
            return False
        picked = pick(at, images, estimate, self._view)
        if picked.person_id is not None:
            self._view = replace(self._view, selected=picked.person_id)
        elif picked.camera is not None and len(estimate.frames) > 1:
            self._view = replace(self._view, camera=picked.camera)
        return True

    def _press(self, key: str) -> bool:
        """Act on a key; whether the picture is to be drawn anew."""
        view, control = self._view, self._control
        turns = {"left": (-STEP, 0.0), "right": (STEP, 0.0), "up": (0.0, STEP), "down": (0.0, -STEP)}
        if key == "q":
            control.stop()
        elif key == "escape":
            if view.keys:
                self._view = replace(view, keys=False)
            elif self._full:
                self._fill_screen(False)
            else:
                control.stop()
        elif key in ("h", "?", "f1"):
            self._view = replace(view, keys=not view.keys)
        elif key in ("f", "f11"):
            self._fill_screen(not self._full)
        elif key in turns:
            self._view = view.turned(*turns[key])
        elif key in ("+", "=", "-"):
            self._view = view.zoomed(1 / 1.15 if key == "-" else 1.15)
        elif key == "z":
            self._view = replace(view, close=not view.close)
        elif key == "m":
            self._view = replace(view, mirror=not view.mirror)
        elif key == "n":
            self._view = view.next_person()
        elif key == "c":
            estimate = self._shown[0] if self._shown else None
            self._view = view.next_camera(first_camera(estimate) if estimate else 0)
        elif key == "home" or (key == "0" and view.numbered("0") is None):
            first = self._first
            self._view = replace(view, yaw=first.yaw, pitch=first.pitch, zoom=first.zoom, close=False)
        elif key.isdecimal():
            self._view = replace(view, selected=view.selected if (i := view.numbered(key)) is None else i)
        elif view.ended:
            return False  # nothing comes any more that could be held, recorded or marked
        elif key == " ":
            control.pause()
        elif key == "r":
            control.record()
        elif key == "e":
            control.event("key", "mark")
        else:
            return False
        return True

    def _fill_screen(self, full: bool) -> None:
        self._full = full
        kind = cv2.WINDOW_FULLSCREEN if full else cv2.WINDOW_NORMAL
        cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, kind)
        if self._keys is not None:
            with suppress(OSError):  # a toolkit may make the window anew
                self._keys.follow()


@dataclass(frozen=True, slots=True)
class Mouse:
    """Something that the mouse did."""

    kind: int
    """One of ``cv2.EVENT_...``."""
    x: int
    """Pixels of what is shown."""
    y: int
    """Likewise."""
    flags: int
    """As OpenCV tells them; of a wheel its sign is the direction."""


def picture_size(room: tuple[int, int]) -> tuple[int, int]:
    """The size of the picture for a window: its own, unless text would have no room or a picture take too long."""
    w, h = room
    scale = min(_MOST[0] / w, _MOST[1] / h, 1.0)
    return max(round(w * scale), 640), max(round(h * scale), 360)


def _place(size: tuple[int, int], room: tuple[int, int]) -> Rect:
    return (0, 0, *room) if size == room else draw.fit(size, (0, 0, *room))


def on_dark(picture: Image, room: tuple[int, int]) -> Image:
    """The picture in the size of the window; where that is of another shape, with dark bars."""
    size = picture.shape[1], picture.shape[0]
    if size == room:
        return picture
    x, y, w, h = _place(size, room)
    whole = np.empty((room[1], room[0], 3), np.uint8)
    draw.fill(whole, draw.BACK)
    whole[y : y + h, x : x + w] = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)
    return whole


def in_picture(at: tuple[int, int], size: tuple[int, int], room: tuple[int, int]) -> tuple[float, float]:
    """Where in a picture of that size a place of the window is."""
    x, y, w, h = _place(size, room)
    return (at[0] - x) * size[0] / w, (at[1] - y) * size[1] / h


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """None: ``--view`` chooses it."""

    role: ClassVar[Role] = "viewer"

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be used here."""
        return available()

    def make(self, run: Run) -> Window:
        """The window."""
        return Window(run.status, run.control, view=run.view, hold=run.hold, look=run.look)
