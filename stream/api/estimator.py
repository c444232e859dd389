"""Estimates in a program's own loop, or of one image: ``Estimator``."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Final, Self, Unpack

import numpy as np

from calibration.arrays import Image
from calibration.binding import SourceId, bind
from calibration.fitting import fit_cameras
from calibration.geometry.camera import camera_from_fov
from engines.lifter import MDNLifter
from stream.api.checks import finite
from stream.api.keywords import Flags, config
from stream.app import build, camera_setup
from stream.live import estimator as live
from stream.live.frame_checks import check_image
from stream.recordings.run_info import CameraInfo
from stream.types import Estimate, Frame, FrameSet, StreamError

_ONE: Final = "image"
"""Name of the camera of an image that comes without one."""


class Estimator:
    """Estimates the images it is given, in the thread that gives them. Use it from one thread at a time::

        estimate = stream.Estimator()(cv2.imread("person.jpg"))

    Several calibrated cameras at one moment are a mapping::

        estimate = stream.Estimator(calibration="lab.toml")({"left": left, "right": right}, t)

    Args:
        flags: those flags of the program that say how it is estimated, such as ``detector``, ``fov`` and
            ``calibration``; see ``Flags``.

    Raises:
        UserError: for what cannot be loaded or read.
    """

    def __init__(self, **flags: Unpack[Flags]) -> None:
        self._config = config([], dict(flags), needed=False)
        if useless := sorted({key for key, value in flags.items() if value is not None} - _FLAGS):
            raise StreamError(f"{useless[0]} is of sources and outputs, which an Estimator has not; see open_stream")
        self._setup = camera_setup.load(self._config.setup, ())
        self._lifter = MDNLifter(self._config.lift.weights, self._config.network)
        self._temporal = build.load_temporal(self._config, self._lifter)
        self._detector = build.load_detector(self._config, None)
        self._inner: live.Estimator | None = None
        """None until the first image says how large its images are."""
        self._stack = ExitStack()
        self._index = count()
        self._t: float | None = None
        self._before: tuple[tuple[str, tuple[int, int] | None], ...] = ()
        self.cameras: tuple[CameraInfo, ...] = ()
        """What is known of each camera since the first image, in the order of ``Estimate.frames``."""

    def __call__(self, images: Image | Mapping[str, Image | None], t: float | None = None) -> Estimate:
        """Estimate one moment.

        Args:
            images: (H, W, 3) uint8 BGR, as OpenCV reads them; or camera name -> such an image, None for a camera
                without one in this moment.
            t: seconds, increasing from call to call, so that people are followed. None: it has nothing to do with
                what came before.

        Raises:
            UserError: for what is no image, cameras that are not calibrated or not those of before, an image of another
                size than before, or a time that does not increase.
        """
        named = self._named(images)
        if t is not None and not finite(t):
            raise StreamError(f"t is {t!r}; give seconds")
        inner = self._inner
        if inner is None or (t is None) != (self._t is None) or (t is None and self._difference(named)):
            inner = self._inner = self._begin(named)
        elif t is not None and self._t is not None and t <= self._t:
            raise StreamError(f"t = {t:g} s follows {self._t:g} s: times must increase; reset() begins anew")
        elif changed := self._difference(named):
            raise StreamError(f"{changed}; reset() begins anew")
        self._t = t
        # An estimator takes a time that does not increase for a new beginning, which an image without a time is.
        at = 0.0 if t is None else t
        number = next(self._index)
        frames = tuple(
            None if image is None else Frame(name, number, at, _read_only(image)) for name, image in named.items()
        )
        return inner(FrameSet(number, at, frames, 0.0))

    def reset(self) -> None:
        """Forget whom it follows, and the cameras: what comes next may be of other cameras, sizes and times."""
        self._inner, self._t, self._before = None, None, ()

    def close(self) -> None:
        """Free its threads; it begins anew when it is used again. Closing twice is no error."""
        self.reset()
        self._stack.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _named(self, images: Image | Mapping[str, Image | None]) -> dict[str, Image | None]:
        names = () if self._setup.calibration is None else self._setup.calibration.names
        named: dict[str, Image | None]
        if isinstance(images, Mapping):
            named = dict(images)
        elif len(names) > 1:
            raise StreamError(f"one image, and {len(names)} calibrated cameras; say whose it is: "
                              f"{{{names[0]!r}: image}}")  # fmt: skip
        else:
            named = {names[0] if names else _ONE: images}
        for name, image in named.items():
            if not isinstance(name, str) or not name:
                raise StreamError(f"a camera is called {name!r}; give camera name -> image, the name as text")
            if image is not None:
                check_image(image, name)
        if not any(image is not None for image in named.values()):
            raise StreamError("no image; give one at least")
        return named

    def _difference(self, named: Mapping[str, Image | None]) -> str:
        """In what these are not the cameras of before; empty where they are."""
        if tuple(named) != tuple(name for name, _ in self._before):
            return f"images of {', '.join(named)}, before of {', '.join(name for name, _ in self._before)}"
        for (name, size), image in zip(self._before, named.values(), strict=True):
            if image is not None and size is not None and _size(image) != size:
                return f"camera {name}: an image of {_size(image)[0]}x{_size(image)[1]}, before of {size[0]}x{size[1]}"
        return ""

    def _begin(self, named: Mapping[str, Image | None]) -> live.Estimator:
        """Make the estimator of these cameras, at these sizes."""
        self._stack.close()
        calibration, degrees = self._setup.calibration, self._config.lift.fov_degrees
        if calibration is None:
            if missing := [name for name, image in named.items() if image is None]:
                raise StreamError(f"camera {missing[0]} has no image in the first moment, so its size is not known")
            lenses = [
                camera_from_fov(name, _size(image), degrees) for name, image in named.items() if image is not None
            ]
        else:
            bound = bind(calibration, [SourceId(name, name) for name in named]).cameras
            sizes = [camera.size if image is None else _size(image)
                     for camera, image in zip(bound, named.values(), strict=True)]  # fmt: skip
            fitted, _ = fit_cameras(bound, sizes, self._setup.letterboxes, tuple(named))
            lenses = [replace(lens, name=name) for lens, name in zip(fitted, named, strict=True)]
        method = "none" if self._setup.method == "none" or len(named) < 2 else self._setup.method
        each = build.side_by_side(len(lenses), self._stack)
        made = build.make_estimator(self._config, lenses, method, self._detector, self._lifter, each, self._temporal)
        self._before = tuple((lens.name, lens.size) for lens in lenses)
        self.cameras = tuple(
            CameraInfo(lens.name, "", "image", lens.size, None if calibration is None else lens,
                       degrees if calibration is None else None)
            for lens in lenses
        )  # fmt: skip
        return made


_FLAGS: Final = frozenset({
    "calibration", "up", "letterbox", "fusion", "fov", "detector", "weights", "temporal", "runtime", "precision",
    "people", "max_people", "select", "config",
})  # fmt: skip
"""What is not of sources and outputs."""


def _size(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _read_only(image: Image) -> Image:
    """The image where nobody writes on it by this name; the caller's own stays as it is."""
    view = np.ascontiguousarray(image)[:]
    view.flags.writeable = False
    return view
