"""A folder of images, in natural order (2 before 10), or one picture."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Image
from calibration.text import natural_key
from stream.config import SourceConfig
from stream.sources._devices import quiet_opencv
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import SourceInfo
from stream.types import StreamError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm"}
)
UNREAD = frozenset({".heic", ".heif", ".avif", ".jxl", ".jp2", ".exr", ".hdr", ".psd", ".svg", ".pdf",
                    ".tga", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"})  # fmt: skip
"""Pictures that are not read here."""
VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv",
                    ".flv", ".3gp", ".insv", ".lrv", ".mxf", ".dv", ".gif"})  # fmt: skip
_DEFAULT_FPS = 30.0
_LOOKED_AT = 9
"""Pictures of a folder that are looked at first, for the size that most have and the bits of 16 that are used."""
_WHITES = ((16.0, 1.0), *((float((1 << bits) - 1),) * 2 for bits in (8, 10, 12, 14, 16)))
"""Up to which value a floating-point picture has which white."""
_OTHERS = {
    "HEIC": (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypmsf1"),
    "AVIF": (b"ftypavif", b"ftypavis"),
    "JPEG 2000": (b"jP  \r\n\x87\n",),
    "JPEG XL": (b"JXL \r\n\x87\n",),
}
"""What pictures that are not read begin with, from their fifth byte on."""
_APNG_HEAD = 4096
"""An animated PNG says so before its first image."""


def claims(source: str) -> bool:
    """Whether it is a folder, or one picture."""
    if os.path.isdir(source):  # unlike Path.is_dir, no OSError for a name that is too long
        return True
    return os.path.splitext(source)[1].lower() in SUFFIXES | UNREAD and os.path.isfile(source) and not _moves(source)


def make(config: SourceConfig) -> "ImagesSource":
    """The source of one folder of images, or one picture."""
    return ImagesSource(config)


def _moves(source: str) -> bool:
    """Whether a PNG is an animation, which FFmpeg plays like a video."""
    try:
        with open(source, "rb") as file:
            head = file.read(_APNG_HEAD)
    except OSError:
        return False
    return head.startswith(b"\x89PNG") and b"acTL" in head.partition(b"IDAT")[0]


class ImagesSource(SequenceSource):
    """A folder of images at a given rate: ``t = index / fps``. One that cannot be read, or is of another size than
    most, is counted and passed over, and leaves a gap in the index and in time. OpenCV turns photographs upright.
    """

    kind = "images"
    _paths: tuple[Path, ...] = ()
    _unread: Sequence[Path] = ()
    _size: tuple[int, int] | None = None
    _other = ""
    """A picture of another size than most, of those that were looked at first."""
    _bits = 8
    """Of 16, that are used."""
    _white = 1.0
    """Of floating-point pictures."""

    def _begin(self) -> Iterator[Shot]:
        shown, folder = self.config.shown, Path(self.config.source)
        problem = ""
        folders: list[str] = []
        try:
            inside = [folder] if folder.is_file() else list(folder.iterdir())
            there = [path for path in inside if path.is_file()]
            folders = sorted(path.name for path in inside if path.is_dir() and not path.name.startswith("."))
        except OSError as error:
            there, problem = [], error.strerror or str(error)
        if problem:
            raise StreamError(f"{shown}: cannot be read: {problem}")
        # A name that starts with a dot is no picture but, for one, the shadow file a Mac leaves beside each.
        there = sorted((path for path in there if not path.name.startswith(".")), key=natural_key)
        self._paths = tuple(path for path in there if path.suffix.lower() in SUFFIXES)
        unread = [path for path in there if path.suffix.lower() in UNREAD]
        if not self._paths:
            raise StreamError(f"{shown}: {_instead(there, unread, folders)}")
        self._unread = unread
        step = max(1, len(self._paths) // _LOOKED_AT)
        looked = [(path.name, image) for path in self._paths[::step][:_LOOKED_AT] if (image := _load(path)) is not None]
        seen = [image for _, image in looked]
        if seen:
            self._size = Counter((image.shape[1], image.shape[0]) for image in seen).most_common(1)[0][0]
            self._other = next(
                (f"{n} is {i.shape[1]}x{i.shape[0]}" for n, i in looked if i.shape[1::-1] != self._size), ""
            )
            self._bits = max(_bits(image) for image in seen)
            self._white = max(_white(image) for image in seen)
        return self._run()

    @property
    def _fps(self) -> float:
        return self.config.fps or _DEFAULT_FPS

    def _run(self) -> Iterator[Shot]:
        others: list[str] = []
        for index, path in enumerate(self._paths):
            image = _load(path)
            if image is None:
                self.corrupt += 1
                self.note = f"{path.name} cannot be read as an image{_why(path)}"
                continue
            size = (image.shape[1], image.shape[0])
            if size != self._size and self._size is not None:
                self.corrupt += 1
                others.append(f"{path.name} is {size[0]}x{size[1]}")
                most = "{}x{}".format(*self._size)
                count = "it is" if len(others) == 1 else f"{len(others)} such pictures are"
                self.note = f"{self.config.shown}: most pictures are {most}, {others[0]}; {count} left out"
                continue
            self._bits = max(self._bits, _bits(image))
            self._white = max(self._white, _white(image))
            yield Shot(index, index / self._fps, _eight(image, self._bits, self._white))

    def _describe(self, first: Shot) -> SourceInfo:
        size = (first.image.shape[1], first.image.shape[0])
        shown, messages = self.config.shown, []
        if self._unread:
            kinds = ", ".join(sorted({path.suffix.lower() for path in self._unread}))
            messages.append(f"{shown}: {len(self._unread)} pictures of kinds that are not read ({kinds}) are left out")
        if 8 < self._bits < 16:
            messages.append(f"{shown}: its 16-bit pictures use {self._bits} bits; they are stretched to that")
        if self._other:
            messages.append(f"{shown}: pictures of another size than {size[0]}x{size[1]} are left out ({self._other})")
        pages = _pages(self._paths[0])
        if pages > 1:
            messages.append(
                f"{shown}: {self._paths[0].name} holds {pages} pictures, of which only the first is used; save each "
                "as a file of its own"
            )
        if self._white > 1:
            messages.append(f"{shown}: its floating-point pictures are taken as 0 to {self._white:g}, not 0 to 1")
        return SourceInfo(
            self.name, self.kind, shown, size, self._fps, len(self._paths), self.live, "media", messages=tuple(messages)
        )


def _instead(there: Sequence[Path], unread: Sequence[Path], folders: Sequence[str]) -> str:
    """What there is in place of pictures that can be read, and what to do."""
    videos = [path.name for path in there if path.suffix.lower() in VIDEOS]
    if videos:
        some = f"{', '.join(videos[:3])}{' ...' if len(videos) > 3 else ''}"
        return (
            f"this folder holds videos ({some}), no pictures; give each camera its file, or the pieces of one camera "
            "as A.mp4+B.mp4"
        )
    if unread:
        kinds = ", ".join(sorted({path.suffix.lower() for path in unread}))
        return f"its pictures are of a kind that is not read here ({kinds}); convert them to JPEG or PNG"
    if folders:
        some = f"{', '.join(folders[:3])}{' ...' if len(folders) > 3 else ''}"
        return (
            f"there are no images in this folder, only other folders ({some}); give each camera the one with its images"
        )
    return "there are no images in this folder (jpg, png, bmp, webp, tif ...)"


def _why(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return ""
    if head[:4] == b"RIFF" and b"ANIM" in head:
        return ": it is an animated WebP; convert it to a video"
    kind = next((kind for kind, marks in _OTHERS.items() if head[4:12] in marks), "")
    return f": it is {kind} under another name; convert it to JPEG or PNG" if kind else ""


def _load(path: Path) -> NDArray[Any] | None:
    """(H, W, 3) BGR of uint8, uint16 or float32, or None. Read by Python because cv2.imread fails on non-ASCII names on
    Windows.
    """
    try:
        data = np.fromfile(path, np.uint8)
        if not data.size:
            return None
        with quiet_opencv():
            image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (OSError, cv2.error):  # cv2.error: dimensions beyond OpenCV's limit
        return None
    if image is not None and image.dtype in (np.float64, np.int32, np.uint32):
        image = image.astype(np.float32)
    return None if image is None or image.dtype not in (np.uint8, np.uint16, np.float32) else image


def _pages(path: Path) -> int:
    """How many pictures a TIFF holds; 1 for other files, and where that cannot be told."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return 1
    try:
        with quiet_opencv():
            return cv2.imcount(str(path))
    except cv2.error:
        return 1


def _bits(image: NDArray[Any]) -> int:
    """How many bits a picture uses: 8, 10, 12, 14 or 16. Industrial cameras keep 10 or 12 at the lower end of 16."""
    if image.dtype != np.uint16:
        return 8
    most = int(image.max(initial=0))
    return next((bits for bits in (8, 10, 12, 14) if most < 1 << bits), 16)


def _white(image: NDArray[Any]) -> float:
    """What is white in a floating-point picture: 1, which highlights may be above, or the most that whole numbers of 8
    to 16 bits reach.
    """
    if image.dtype != np.float32:
        return 1.0
    most = float(image[np.isfinite(image)].max(initial=0))
    return next((white for limit, white in _WHITES if most <= limit), _WHITES[-1][1])


def _eight(image: NDArray[Any], bits: int, white: float = 1.0) -> Image:
    """(H, W, 3) uint8 of a picture that uses so many bits of 16, or is of 0..white."""
    if image.dtype == np.uint16:
        image = np.right_shift(image, max(bits - 8, 0)).clip(0, 255)
    elif image.dtype == np.float32:
        image = np.nan_to_num(image * (255 / white), nan=0.0).clip(0, 255)
    return np.ascontiguousarray(image, np.uint8)
