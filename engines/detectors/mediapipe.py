"""MediaPipe's BlazePose through its Tasks API, in video mode: it finds and follows the person itself."""

import atexit
import contextlib
import os
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from calibration import text
from calibration.arrays import Image
from engines import cards, covariance, preprocess
from engines.covariance import EllipseCalibration
from engines.detectors._options import DetectorOptions
from engines.preprocess import Box
from engines.skeleton import BLAZEPOSE, to_h36m
from engines.types import Detection, EngineError, empty_detection

WEIGHTS: Final = {"mediapipe": "pose_landmarker_full.task", "mediapipe-lite": "pose_landmarker_lite.task"}

# What its C++ part writes to stderr at every start, which no flag or variable of it turns off.
_CHATTER: Final = (
    b"XNNPACK",
    b"InitGoogle",
    b"inference_feedback_manager",
    b"unaligned buffer",
    b"NORM_RECT",
    b"absl::",
)


# Sessions may start side by side, and there is one stderr to hold back.
_chatter_lock = threading.Lock()


def load(name: str, options: DetectorOptions) -> "MediaPipe":
    """Load one of the names of WEIGHTS. It brings its own runtime and chooses its own threads."""
    return MediaPipe(name)


class MediaPipe:
    """A BlazePose landmarker.

    Raises:
        EngineError: if mediapipe is not installed, or the weights are missing, damaged or not a landmarker.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._card = cards.verify(cards.WEIGHTS / WEIGHTS[name])
        try:
            import mediapipe  # noqa: F401 - 1.7 s; that it is there is all that counts here
        except ImportError as error:
            raise EngineError(f"detector {name!r} needs mediapipe ({error}): pip install mediapipe==1.2.2") from error
        self._landmarkers = _Landmarkers()
        self._spare: MediaPipeSession | None = MediaPipeSession(self._card, name, self._landmarkers)

    def session(self) -> "MediaPipeSession":
        """A new session, one a camera."""
        session, self._spare = self._spare or self._new_session(), None
        return session

    def _new_session(self) -> "MediaPipeSession":
        return MediaPipeSession(self._card, self.name, self._landmarkers)

    def describe(self) -> Mapping[str, str]:
        """What it is and runs on."""
        return {
            "runtime": f"mediapipe {version('mediapipe')}",
            "device": "cpu",
            "model": self._card.path.name,
            "sha256": self._card.sha256,
        }


class _Landmarkers:
    """The landmarkers of a detector, and when each is closed.

    Closing one submits work to an executor, which takes locks that the garbage collector may interrupt: mediapipe's own
    ``__del__`` then waits for itself for ever. So one that is left alone is only put aside here, and closed when the
    next starts, or at the exit.
    """

    def __init__(self) -> None:
        self._alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self._aside: deque[Any] = deque()
        atexit.register(self._close_all)

    def add(self, session: "MediaPipeSession", landmarker: Any) -> weakref.finalize:
        """Keep the landmarker until its session is gone; detach what is returned once it is closed before that."""
        while self._aside:
            close(self._aside.popleft())
        self._alive.add(landmarker)
        put_aside = weakref.finalize(session, self._aside.append, landmarker)
        put_aside.atexit = False
        return put_aside

    def _close_all(self) -> None:
        for landmarker in list(self._alive):
            close(landmarker)


class MediaPipeSession:
    """One landmarker in video mode."""

    def __init__(self, card: cards.Card, origin: str, landmarkers: _Landmarkers) -> None:
        self._card, self._origin, self._landmarkers = card, origin, landmarkers
        self._calibration = EllipseCalibration.of(card.values)
        self._start()

    def reset(self) -> None:
        """Forget the person. Costs 0.2 s: video mode can only forget by starting again."""
        if self._last > 0:
            self._put_aside.detach()
            close(self._landmarker)
            self._start()

    def __call__(self, image: Image, t: float) -> Detection:
        """Detect the person in a BGR image at t seconds; nobody() when there is none."""
        self._zero = t if self._zero is None else self._zero
        # Video mode refuses a time that is not later than the last one, in whole milliseconds.
        self._last = max(self._last + 1, round((t - self._zero) * 1000))
        # The first person brings the last of the chatter.
        with contextlib.nullcontext() if self._quiet else _without_chatter():
            landmarks = self._detect(image, self._last)
        if landmarks is None:
            return empty_detection(self._origin)
        self._quiet = True
        # x and y count pixel centres: by the half-pixel rule mirrored photographs disagree by 0.7 to 1.1 px.
        xy = landmarks[:, :2] * (image.shape[1], image.shape[0])
        # Visibility: not hidden; presence: in the picture at all. A joint has to be both.
        score = preprocess.doubt_outside(xy, np.clip(landmarks[:, 2:].min(-1), 0, 1), image)
        found = Detection(*to_h36m(BLAZEPOSE, xy, score), self._origin)
        if self._calibration is None:
            return found
        # It has no heatmaps to show: their covariance is round, in sizes of the person.
        round_ = self._calibration.covariance(np.broadcast_to(np.eye(2), (len(score), 2, 2)), score)
        cov = covariance.to_h36m(BLAZEPOSE, round_ * covariance.extent(found.xy, found.score) ** 2)
        return replace(found, cov=cov)

    def _start(self) -> None:
        from mediapipe.tasks import python as tasks
        from mediapipe.tasks.python import vision

        options = vision.PoseLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(self._card.path)),
            running_mode=vision.RunningMode.VIDEO,
            num_poses=1,
        )
        self._last, self._zero, self._quiet = 0, None, False
        try:
            with _without_chatter():
                self._landmarker = vision.PoseLandmarker.create_from_options(options)
                self._detect(np.zeros((64, 64, 3), np.uint8), 0)
        except (RuntimeError, ValueError, OSError) as error:
            reason = text.one_line(" ".join(str(error).split()), 200)
            raise EngineError(f"{self._card.path} is not a landmarker that mediapipe can run ({reason})") from error
        self._put_aside = self._landmarkers.add(self, self._landmarker)

    def _detect(self, image: Image, milliseconds: int) -> Any:
        """(33, 4) x, y (0..1 of the image), visibility and presence; None without a person."""
        import mediapipe as mp

        height, width = image.shape[:2]
        rgb = preprocess.cut(image, Box(0, 0, width, height), (width, height))
        found = self._landmarker.detect_for_video(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb), milliseconds)
        if not found.pose_landmarks:
            return None
        return np.array([(p.x, p.y, p.visibility, p.presence) for p in found.pose_landmarks[0]], np.float64)


def close(landmarker: Any) -> None:
    """Close a landmarker, also while the interpreter shuts down: mediapipe 1.2.2 prints two tracebacks there."""
    try:
        landmarker.close()
    except RuntimeError:  # its executor is already gone, and its __del__ would try again
        landmarker._handle = None


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what is written to stderr, then write all of it but the known chatter."""
    with _chatter_lock, tempfile.TemporaryFile() as held:
        try:
            real = os.dup(2)
        except OSError:  # closed: nothing can be written there
            yield
            return
        _flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(real, 2)
            held.seek(0)
            rest = [line for line in held.readlines() if not any(word in line for word in _CHATTER)]
            try:
                os.write(real, b"".join(rest))
            except OSError:  # full: nobody can read it
                pass
            finally:
                os.close(real)


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # full, closed, or none
        sys.stderr.flush()
