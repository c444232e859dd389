"""The window: the composed picture on the screen, with keys. Lives in the main thread, as toolkits want it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import cv2

from calibration.arrays import Image
from stream.channel import Policy
from stream.control import Control
from stream.drawing.compose import compose
from stream.drawing.facts import Status
from stream.drawing.figures import follow
from stream.drawing.scene import STEP, ViewState
from stream.recordings.run_info import RunInfo
from stream.sinks import Role, Run, SinkOptions
from stream.types import Estimate, StreamError

KEYS_HELP: Final = "q quit, space pause, r record on/off, e mark, n next person, arrows turn, + - zoom, 0 first view"
"""Stands in the window's title."""

# What waitKeyEx gives for an arrow: X11 keysyms (Qt and GTK), Win32 virtual keys << 16, Cocoa function keys.
_ARROWS: Final = {
    "left": (0xFF51, 0x250000, 0xF702),
    "up": (0xFF52, 0x260000, 0xF700),
    "right": (0xFF53, 0x270000, 0xF703),
    "down": (0xFF54, 0x280000, 0xF701),
}
_PROBE_S: Final = 20.0


def key_name(code: int) -> str:
    """The name of a key that ``cv2.waitKeyEx`` reported: "left", "up", "right", "down", a character, or ""."""
    if code < 0:
        return ""
    for name, codes in _ARROWS.items():
        # GTK sets modifier bits (num lock, caps lock) above the keysym.
        if code in codes or (code & 0xFFFF) == codes[0]:
            return name
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
    """Shows the composed picture and listens to keys. Every call comes from the main thread."""

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
    ) -> None:
        """Check that there is a display.

        Args:
            status: gives the facts to show.
            control: told what the user presses; the recording shows in the next status.
            title: the window's.
            size: of the picture, pixels.
            picture: draws it.

        Raises:
            StreamError: if no window can be opened.
        """
        reason = available()
        if reason is not None:
            raise StreamError(f"no window: {reason}; use --view none, and --video-out FILE.mp4 to see the result")
        self._picture = picture
        self._status, self._control, self._title = status, control or Control(), title
        self._view = ViewState(size=size)
        self._shown: tuple[Estimate, Mapping[str, Image | None]] | None = None
        self._open = False

    @property
    def view(self) -> ViewState:
        """From where the user looks."""
        return self._view

    def open(self, run_info: RunInfo) -> None:
        """Open the window."""
        self._view = replace(self._view, cameras=run_info.cameras)
        # OpenCV's wheel names a folder of Qt fonts that it does not have; Qt would say so at every window.
        with _environment("QT_LOGGING_RULES", "default.warning=false"):
            # GUI_NORMAL: Qt's toolbar and its context menu would take the keys and the right button.
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.setWindowTitle(self._title, f"{self._title}: {KEYS_HELP}")
        cv2.resizeWindow(self._title, *self._view.size)
        self._open = True
        cv2.waitKeyEx(1)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Show a frame set, unless the picture is held, and act on keys; closing the window stops the run, too."""
        if not self._alive():
            return
        if not self._control.paused:
            self._view = follow(self._view, estimate)
            self._shown = (estimate, images)
            self._draw()
        self.poll(1)

    def poll(self, wait_ms: int = 10) -> None:
        """Let the toolkit work for up to wait_ms milliseconds and act on one key; to be called when nothing comes."""
        if not self._open:
            return
        code = cv2.waitKeyEx(max(wait_ms, 1))
        if not self._alive():
            return
        if code == 27:
            self._control.stop()
        self._press(key_name(code))
        if self._view.paused != self._control.paused:  # also where something else asked for it
            self._view = replace(self._view, paused=self._control.paused)
            self._draw()

    def close(self) -> str | None:
        """Close the window."""
        if self._open:
            cv2.destroyWindow(self._title)
            cv2.waitKeyEx(1)
            self._open = False
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

    def _draw(self) -> None:
        if self._shown is not None:
            estimate, images = self._shown
            cv2.imshow(self._title, self._picture(images, estimate, self._status(), self._view))

    def _press(self, key: str) -> None:
        turns = {"left": (-STEP, 0.0), "right": (STEP, 0.0), "up": (0.0, STEP), "down": (0.0, -STEP)}
        if key == "q":
            self._control.stop()
        elif key in turns:
            self._view = self._view.turned(*turns[key])
        elif key in ("+", "=", "-"):
            factor = 1 / 1.15 if key == "-" else 1.15
            self._view = replace(self._view, zoom=min(max(self._view.zoom * factor, 0.4), 4.0))
        elif key == "n":
            self._view = self._view.next_person()
        elif key == "0":
            fresh = ViewState()
            self._view = replace(self._view, yaw=fresh.yaw, pitch=fresh.pitch, zoom=fresh.zoom)
        elif key == " ":
            self._control.pause()
        elif key == "r":
            self._control.record()
        elif key == "e":
            self._control.event("key", "mark")
        else:
            return
        self._draw()


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
        return Window(run.status, run.control)
