"""Every key that is pressed in a window under X11, told by the server itself.

``cv2.waitKeyEx`` of OpenCV's Qt keeps one key: of several that come while nobody listens the last alone is told. Any
client may ask for the keys of any window (XSelectInput(3)), so they are asked for on a connection of our own, which
keeps them all. By ctypes, as Qt has loaded Xlib anyway; the packages that wrap it are not kept up, or need a compiler.
"""

import ctypes
import ctypes.util
import os
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p
from typing import Any, Final

_KEY_PRESS, _KEY_PRESSES, _MAPPING = 2, 1 << 0, 34
_MODIFIED: Final = 1 << 2 | 1 << 3 | 1 << 6
"""Control, Alt and Super: what is pressed with them is meant for somebody else."""
_CARDINAL: Final = 6
_DEEPEST: Final = 6
"""A window manager puts a window into a few frames; nothing of ours lies deeper."""


class _KeyEvent(ctypes.Structure):
    _fields_ = (
        ("type", c_int), ("serial", c_ulong), ("sent", c_int), ("display", c_void_p), ("window", c_ulong),
        ("root", c_ulong), ("subwindow", c_ulong), ("time", c_ulong), ("x", c_int), ("y", c_int), ("x_root", c_int),
        ("y_root", c_int), ("state", c_uint), ("keycode", c_uint), ("same_screen", c_int),
    )  # fmt: skip


class _Event(ctypes.Union):
    _fields_ = (("type", c_int), ("key", _KeyEvent), ("room", c_long * 24))


_PASS_OVER: Final = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)(lambda display, error: 0)


class X11Keys:
    """The keys of the windows of this process that have a title.

    Args:
        title: what their names begin with.

    Raises:
        OSError: where there is no X, or no such window.
    """

    def __init__(self, title: str) -> None:
        self._x = _library()
        self._title = title.encode()
        self._display: int | None = self._x.XOpenDisplay(None)
        if self._display is None:
            raise OSError("there is no X server")
        try:
            self.follow()
        except OSError:
            self.close()
            raise

    def follow(self) -> None:
        """Ask for the keys of the windows that there are now; again after something may have made them anew.

        Raises:
            OSError: if there is none.
        """
        # Windows come and go meanwhile, which Xlib unasked ends the process for.
        before = self._x.XSetErrorHandler(_PASS_OVER)
        try:
            found = list(self._ours(self._x.XDefaultRootWindow(self._display), 0, False))
            for window in found:
                self._x.XSelectInput(self._display, window, _KEY_PRESSES)
            self._x.XSync(self._display, 0)
        finally:
            self._x.XSetErrorHandler(before)
        if not found:
            raise OSError("there is no such window")

    def pressed(self) -> list[int]:
        """The X11 keysyms of what was pressed since the last call, in order."""
        codes, event, keysym = list[int](), _Event(), c_ulong()
        while self._display is not None and self._x.XPending(self._display):
            self._x.XNextEvent(self._display, byref(event))
            if event.type == _MAPPING:
                self._x.XRefreshKeyboardMapping(byref(event))
            elif event.type == _KEY_PRESS and not event.key.state & _MODIFIED:
                self._x.XLookupString(byref(event.key), None, 0, byref(keysym), None)
                codes.append(keysym.value)
        return codes

    def close(self) -> None:
        """End the connection."""
        if self._display is not None:
            self._x.XCloseDisplay(self._display)
            self._display = None

    def _ours(self, window: int, depth: int, within: bool) -> Iterator[int]:
        """The windows of that title, and what lies in them: a key is told of the innermost that anybody listens to."""
        within = within or self._is_ours(window)
        if within:
            yield window
        if depth < _DEEPEST:
            for child in self._children(window):
                yield from self._ours(child, depth + 1, within)

    def _children(self, window: int) -> list[int]:
        root, parent, children, count = c_ulong(), c_ulong(), POINTER(c_ulong)(), c_uint()
        if not self._x.XQueryTree(
            self._display, window, byref(root), byref(parent), byref(children), byref(count)
        ):  # it is gone meanwhile
            return []
        found = [children[k] for k in range(count.value)]
        if children:
            self._x.XFree(children)
        return found

    def _is_ours(self, window: int) -> bool:
        name = c_char_p()
        if not self._x.XFetchName(self._display, window, byref(name)) or name.value is None:
            return False
        ours = name.value.startswith(self._title)
        self._x.XFree(name)
        return ours and self._process(window) == os.getpid()

    def _process(self, window: int) -> int:
        atom = self._x.XInternAtom(self._display, b"_NET_WM_PID", 0)
        kind, width, count, rest, value = c_ulong(), c_int(), c_ulong(), c_ulong(), POINTER(c_ulong)()
        self._x.XGetWindowProperty(
            self._display, window, atom, 0, 1, 0, _CARDINAL, byref(kind), byref(width), byref(count), byref(rest),
            byref(value),
        )  # fmt: skip
        found = value[0] if value and count.value else 0
        if value:
            self._x.XFree(value)
        return found


def _library() -> Any:
    """Xlib, with the types of what is called.

    Raises:
        OSError: if it is not there.
    """
    x = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
    for name, gives, *takes in (
        ("XOpenDisplay", c_void_p, c_char_p),
        ("XCloseDisplay", c_int, c_void_p),
        ("XDefaultRootWindow", c_ulong, c_void_p),
        ("XSetErrorHandler", c_void_p, c_void_p),
        ("XSelectInput", c_int, c_void_p, c_ulong, c_long),
        ("XSync", c_int, c_void_p, c_int),
        ("XPending", c_int, c_void_p),
        ("XNextEvent", c_int, c_void_p, c_void_p),
        ("XRefreshKeyboardMapping", c_int, c_void_p),
        ("XLookupString", c_int, c_void_p, c_void_p, c_int, c_void_p, c_void_p),
        ("XInternAtom", c_ulong, c_void_p, c_char_p, c_int),
        ("XFetchName", c_int, c_void_p, c_ulong, c_void_p),
        ("XQueryTree", c_int, c_void_p, c_ulong, *[c_void_p] * 4),
        ("XGetWindowProperty", c_int, c_void_p, c_ulong, c_ulong, c_long, c_long, c_int, c_ulong, *[c_void_p] * 5),
        ("XFree", c_int, c_void_p),
    ):
        function = getattr(x, name)
        function.restype, function.argtypes = gives, list(takes)
    return x
