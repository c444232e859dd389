"""Timecodes of video files: read, and turned into seconds of the day."""

import re
from collections.abc import Iterable, Mapping

_CODE = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")
_DROPPED = 2
"""Numbers of frames that a drop-frame timecode of 30 leaves out each minute but every tenth."""
DAY_S = 86400.0


def timecode_of(tags: Iterable[Mapping[str, str]]) -> str | None:
    """The first timecode among the tags of a container and its tracks, such as ``01:00:00:00``; None without one."""
    for metadata in tags:
        for key, value in metadata.items():
            if key.lower() == "timecode" and _CODE.fullmatch(value.strip()):
                return value.strip()
    return None


def timecode_seconds(code: str, fps: float) -> float | None:
    """Seconds since midnight of the first frame; None for what is no timecode or of no rate.

    A timecode counts frames by the whole number next to the rate, so one of 29.97 runs behind the clock by 3.6 s an
    hour; ``;`` before the frames says that it leaves out numbers to make up for that (SMPTE ST 12-1).

    Args:
        code: as ``timecode_of`` returns it.
        fps: frames a second of its track.
    """
    match = _CODE.fullmatch(code)
    nominal = round(fps)
    if match is None or nominal <= 0:
        return None
    hours, minutes, seconds, frames = (int(match[k]) for k in (1, 2, 3, 5))
    count = (hours * 3600 + minutes * 60 + seconds) * nominal + frames
    if match[4] in ";." and nominal % 30 == 0:
        whole = hours * 60 + minutes
        count -= _DROPPED * (nominal // 30) * (whole - whole // 10)
    return count / fps
