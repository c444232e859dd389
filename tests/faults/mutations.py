"""Seeded damage to text: what a disk, an editor or somebody with bad intentions does to it."""

import re

import numpy as np

HOSTILE = (
    b"[" * 3000, b"{" * 3000, b"- " * 3000, b"<a>" * 3000, b"9" * 5000, b"0x" + b"f" * 5000, b"nan", b"-inf", b"1e308",
    b"-1", b"1e-300", b"\x00", b"\xff\xfe", b'"', b"'''", b"]", b"}", b"\n", b"null", b"true",
    b"a." * 20000 + b"a = 1\n", b'""',
    b"[1, " * 500, b"1979-05-27", b"\xe2\x80\xae", b"&a [*a, *a]", b"<!ENTITY a 'b'>", b"# ", b": ", b"{}", b"[]",
    b"1" + b"0" * 350, b"[nan, nan, nan]", b"{a = {b = 1}}",
)  # fmt: skip
"""What is put in somewhere."""
MUTATIONS = range(200)
"""The seeds that are tried."""


def mutate(data: bytes, seed: int) -> bytes:
    """One to three faults."""
    rng = np.random.default_rng(seed)
    for _ in range(1 if seed % 2 else rng.integers(1, 4)):
        data = _once(data, rng)
    return data


def _once(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, max(len(data), 1)))
    piece = HOSTILE[rng.integers(len(HOSTILE))]
    match rng.integers(9):
        case 0:  # a flipped bit
            return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :] if data else data
        case 1:  # cut off
            return data[:at]
        case 2:  # a piece is gone
            return data[:at] + data[at + int(rng.integers(1, 60)) :]
        case 3:  # a piece is there twice
            return data[: at + 40] + data[at:]
        case 4:
            return data[:at] + piece + data[at:]
        case 5 | 6:  # another digit
            digits = [m.start() for m in re.finditer(rb"\d", data)] or [0]
            at = digits[rng.integers(len(digits))]
            return data[:at] + b"%d" % rng.integers(10) + data[at + 1 :]
    # A value becomes another one: a number, or what stands behind a sign of equality.
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", data) if rng.integers(2) else _values(data))
    if not found:
        return data
    chosen = found[rng.integers(len(found))]
    return data[: chosen.start()] + piece + data[chosen.end() :]


def _values(data: bytes) -> list[re.Match[bytes]]:
    return list(re.finditer(rb'(?<=[=:] )[^\n]+|(?<==)"[^"]*"|(?<=": )(?:"[^"]*"|[^,}\]]+)', data))
