"""What computers that belong together are called, and where they meet."""

import argparse
import ipaddress
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

PORT: Final = 7447
"""Zenoh's own."""
_NAME: Final = r"[A-Za-z0-9](?:[\w.-]{0,62}\w)?"
_SPLIT: Final = re.compile(
    rf"(?P<name>{_NAME})(?:@(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/@\[\]?#]+)(?::(?P<port>[0-9]{{1,5}}))?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of computers, and the address at which the one that fuses listens."""

    name: str
    """Letters, digits, ``.``, ``_`` and ``-``."""
    host: str = "127.0.0.1"
    """A name or a number, IPv6 without brackets."""
    port: int = PORT
    """TCP."""
    keys: Path | None = None
    """Folder of the keys for TLS; None: no TLS, which is for this machine only."""

    def __str__(self) -> str:
        """As it is given, without what is usual."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.name if (self.host, self.port) == ("127.0.0.1", PORT) else f"{self.name}@{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can take part."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def with_keys(self, keys: Path | None) -> "Group":
        """The same with the folder of the keys."""
        return replace(self, keys=keys)


def group(text: str) -> Group:
    """Read ``GROUP[@HOST[:PORT]]``; raises argparse.ArgumentTypeError."""
    match = _SPLIT.fullmatch(text.strip())
    if match is None or not 1 <= int(match["port"] or PORT) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no group such as lab, or lab@192.168.1.5:{PORT}")
    return Group(match["name"], (match["host"] or "127.0.0.1").strip("[]"), int(match["port"] or PORT))
