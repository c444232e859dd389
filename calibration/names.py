"""Names that people give cameras, and which of them mean the same: ``10``, ``port_10``, ``cam10``, ``Camera-10``."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from calibration.addresses import redact

_BETWEEN: Final = r"[\s_.\-#()\[\]]"
_WORDS: Final = "cam|camera|port|device|dev|view|video|vid|webcam|gopro|kamera|camara|caméra"
# c01 is a camera, c_3 may be the third take of group C.
_PREFIX: Final = rf"(?:(?:{_WORDS}){_BETWEEN}*|c)"
_NUMBER = re.compile(rf"{_PREFIX}?0*(\d{{1,18}})")
_INSIDE = re.compile(rf"(?:^|{_BETWEEN}){_PREFIX}0*(\d{{1,18}})(?=$|{_BETWEEN})")
# A number so long is a serial number, and nobody counts takes with it.
_SERIAL_DIGITS = 4
_FOLDERS = 4


def number_of(name: str) -> int | None:
    """The number of a name that is nothing but one, with a usual prefix or without; None for others."""
    match = _NUMBER.fullmatch(_plain(name))
    return None if match is None else int(match[1])


def same_name(name: str, known: Sequence[str]) -> int | None:
    """Which of the known names a name means: the same, or the same but for case, spaces and marks, or by its number
    (``cam01`` for Pose2Sim's ``int_cam01_img``, too).

    Returns:
        The index; None where none does, or two do.
    """
    number = number_of(name)
    return _alone(
        [unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", name) for one in known],
        [_bare(one) == _bare(name) for one in known],
        [number is not None and number_of(one) == number for one in known],
        [number is not None and _numbers_in(one) == {number} for one in known],
    )


def name_in_file(stem: str, known: Sequence[str]) -> int | None:
    """Which of the known names the name of a file holds besides others (``walk1_cam02``, ``Walk_Miqus_3_26578``).

    A number counts behind a usual prefix, or where it is as long as a serial number, since takes are counted too.

    Returns:
        The index; None where none does, or two do.
    """
    plain, numbers = _plain(stem), _numbers_in(stem)
    return _alone(
        [_is_in(_plain(one), plain) or number_of(one) in numbers for one in known],
        [len(numbers) == 1 and _numbers_in(one) == numbers for one in known],
    )


def _alone(*ways: Sequence[bool]) -> int | None:
    """The index of the one that is alike by the first way by which any is; None where two are, or none is by any."""
    alike = next(filter(any, ways), ())
    return alike.index(True) if sum(alike) == 1 else None


def names_of_source(source: str) -> tuple[str, ...]:
    """What the file, the files (``A.mp4+B.mp4``) or the folder of a source are called: stems, then the folders that
    they lie in, from inside out.
    """
    paths = [PurePath(part) for part in redact(source).split("+")] if "+" in source else [PurePath(source)]
    stems = [path.stem or path.name for path in paths]
    folders = [path.name for path in paths[0].parents][:_FOLDERS]
    # Farther out, a folder that is but a number is a day's or a subject's.
    names = [*stems, *folders[:1], *(name for name in folders[1:] if not name.isdecimal())]
    return tuple(dict.fromkeys(name for name in names if name and "*" not in name))


def _numbers_in(name: str) -> set[int]:
    """The numbers of a name that stand behind a usual prefix, as a word of their own."""
    return {int(found) for found in _INSIDE.findall(_plain(name))}


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _bare(name: str) -> str:
    """Without what stands between words, unless nothing else is left."""
    plain = _plain(name)
    return re.sub(rf"{_BETWEEN}+", "", plain) or plain


def _is_in(name: str, stem: str) -> bool:
    """Whether a name is a word, or some, of a stem."""
    if not name or (name.isdecimal() and len(name) < _SERIAL_DIGITS):
        return False
    words = rf"{_BETWEEN}+".join(map(re.escape, re.split(rf"{_BETWEEN}+", name)))
    return re.search(rf"(?:^|{_BETWEEN}){words}(?=$|{_BETWEEN})", stem) is not None
