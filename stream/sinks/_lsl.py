"""Lab Streaming Layer, set up to stay on this machine unless an address is named; pylsl brings the library."""

import ctypes
import logging
import time
import xml.etree.ElementTree as ElementTree
from types import ModuleType
from typing import Any, Final

from stream.sinks._address import EVERYWHERE, check_own
from stream.sinks._loopback import confine
from stream.types import StreamError

_log = logging.getLogger(__name__)

PORTS: Final = range(16571, 16605)
"""Which the library takes, as long as they are free."""
_QUIET: Final = "[log]\nlevel = -3\n"
# Answers to who asks on loopback, and asks there: no multicast, and no IPv6, whose ports cannot be confined alike.
_LOOPBACK: Final = f"""[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
AddressesOverride = {{127.0.0.1}}
Interfaces = {{127.0.0.1}}
ListenAddress = 127.0.0.1
[lab]
KnownPeers = {{127.0.0.1}}
[tuning]
MulticastMinRTT = 0.1
UnicastMinRTT = 0.1
{_QUIET}"""


def library(what: str, on: str | None) -> ModuleType:
    """pylsl, set up for an address of this machine.

    Args:
        what: the output that needs it, as messages call it.
        on: None for loopback, 0.0.0.0 for what the user's own lsl_api.cfg says.

    Raises:
        StreamError: if it is not installed, or this machine has no such address.
    """
    try:
        import pylsl
        from pylsl.lib import lib
    except (ImportError, RuntimeError, OSError) as error:  # the latter where its library is not found
        raise StreamError(f"--{what} needs the package pylsl: pip install pylsl==1.18.6") from error
    if on is not None:
        check_own(what, on)
    settings = _LOOPBACK if on is None else f"[multicast]\nInterfaces = {{{on}}}\n{_QUIET}"
    if on is None or on != EVERYWHERE:
        # The library takes this once in the life of a process, before it is first used.
        lib.lsl_set_config_content.argtypes = [ctypes.c_char_p]
        lib.lsl_set_config_content(settings.encode())
    return pylsl


def stay_on_loopback(what: str, outlets: list[Any]) -> None:
    """Take the data ports of outlets, which the library opens on all interfaces, from all others but loopback."""
    ports = set(PORTS)
    for outlet in outlets:
        told = ElementTree.fromstring(outlet.get_info().as_xml())
        ports |= {int(told.findtext(name) or 0) for name in ("v4data_port", "v4service_port")}
    if not confine(ports):
        _log.warning(f"{what}: this system cannot keep the library's ports to this machine; a firewall can")


def monotonic_offset(pylsl: ModuleType) -> float:
    """Seconds that added to the monotonic clock give LSL's: that of the try in which least time passed between both."""
    tries = []
    for _ in range(20):
        before, theirs, after = time.monotonic(), pylsl.local_clock(), time.monotonic()
        tries.append((after - before, theirs - (before + after) / 2))
    return min(tries)[1]
