"""A tone that says that it has begun, which microphones of cameras hear too."""

import io
import math
import shutil
import struct
import subprocess
import sys
import wave
from contextlib import suppress
from typing import Final

_HZ, _SECONDS, _RATE = 1000, 0.3, 22050
_PLAYERS: Final = (("paplay", "/dev/stdin"), ("aplay", "-q", "-"))
"""Programs that play a WAV file from their standard input, on Linux."""


def tone() -> bytes:
    """A WAV file: 0.3 s of 1 kHz."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        wavy = (round(20000 * math.sin(2 * math.pi * _HZ * k / _RATE)) for k in range(round(_SECONDS * _RATE)))
        file.writeframes(b"".join(struct.pack("<h", value) for value in wavy))
    return out.getvalue()


def play_tone() -> None:
    """Play it with what this machine has, and ring the terminal's bell. Where there is no sound, nothing happens."""
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            sys.stderr.write("\a")
            sys.stderr.flush()
    for program, *flags in _PLAYERS:
        if shutil.which(program):
            with suppress(OSError, subprocess.SubprocessError):
                done = subprocess.run([program, *flags], input=tone(), capture_output=True, timeout=5)
                if done.returncode == 0:
                    return
