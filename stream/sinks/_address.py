"""Addresses that live outputs send to and listen on; loopback wherever none is named."""

import argparse
import errno
import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stream.types import StreamError

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"
_SPLIT: Final = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/@\[\]]+):)?(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    """A name or a number, IPv6 without brackets."""
    port: int
    """0 to 65535; 0 to listen on any that is free."""

    def __str__(self) -> str:
        """As it is given: HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower() in ("localhost", "localhost."):
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False


def address(example: str, *, least: int = 1) -> Callable[[str], Address]:
    """A parser of ``[HOST:]PORT``; without a host it is this machine.

    Args:
        example: what a mistake is answered with.
        least: the lowest port that is taken; 0 where one may listen on any.
    """

    def parse(text: str) -> Address:
        match = _SPLIT.fullmatch(text.strip())
        if match is None or not least <= int(match["port"]) <= 65535:
            raise argparse.ArgumentTypeError(f"{text!r} is no address such as {example}, or only its port")
        return Address((match["host"] or LOOPBACK).strip("[]"), int(match["port"]))

    return parse


def number(text: str) -> str:
    """A parser of the number of a host, without a port."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as 192.168.1.5") from None


def check_own(what: str, host: str) -> None:
    """Raise StreamError for a number that is no address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as tried:
            tried.bind((host, 0))
    except OSError as error:
        raise cannot_listen(what, Address(host, 0), error) from None


def resolved(what: str, to: Address) -> tuple[socket.AddressFamily, tuple]:
    """Family and socket address to send datagrams to, or to listen for them on.

    Args:
        what: the output, as messages call it.
        to: the address.

    Raises:
        StreamError: for a host that is not known.
    """
    try:
        found = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no name of a host"
        raise StreamError(
            f"{what}: the host {to.host} is not known ({why}); give its number, as in 192.168.1.5"
        ) from None
    # Of localhost the first is often ::1, where programs that speak these protocols do not listen.
    family, *_, place = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, place


def cannot_listen(what: str, on: Address, error: OSError) -> StreamError:
    """What to say where an address cannot be listened on."""
    if error.errno == errno.EADDRINUSE:
        return StreamError(f"{what}: port {on.port} of {on.host} is taken by another program; give another port")
    if error.errno == errno.EADDRNOTAVAIL:
        return StreamError(f"{what}: {on.host} is no address of this machine; give one of its own, or 0.0.0.0 for all")
    if error.errno == errno.EACCES:
        return StreamError(f"{what}: port {on.port} may not be listened on by this user; give one from 1024 up")
    if isinstance(error, socket.gaierror):
        return StreamError(f"{what}: the host {on.host} is not known; give an address of this machine")
    return StreamError(f"{what}: {on} cannot be listened on: {error.strerror or error}")
