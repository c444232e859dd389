"""Who may reach the page that is served on an address, by what a browser says of itself; and the link to it."""

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from stream.sinks._address import Address

_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE: Final = ("0.0.0.0", "::")


def host_allowed(on: Address, given: str) -> bool:
    """Whether a browser that calls us by this name, as in the header Host, may have meant us.

    A page elsewhere can make the name of its own server lead to this machine (DNS rebinding); the browser then sees
    one origin, but still says that name here.
    """
    try:
        host = urlsplit(f"//{given}").hostname
    except ValueError:
        return False
    if host in (*_THIS_MACHINE, on.host.lower()):
        return True
    if on.loopback or host is None:
        return False
    own = socket.gethostname().lower()
    if host in (own, own.partition(".")[0], f"{own.partition('.')[0]}.local"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def origin_allowed(origin: str | None, host: str) -> bool:
    """Whether a page of this origin may speak to what it calls ``host``: it came from there itself.

    What sends no Origin is no page: every browser says it when a page opens a WebSocket.
    """
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def link(on: Address, port: int) -> str:
    """What a browser opens.

    Args:
        on: where it is listened.
        port: the one that was found, where any was asked for.
    """
    host = on.host
    if host in _EVERYWHERE:
        host = _own_address(socket.AF_INET6 if ":" in host else socket.AF_INET) or socket.gethostname()
    return f"http://{Address(host, port)}/"


def _own_address(family: socket.AddressFamily) -> str:
    """The address by which this machine is known in its network; "" without a network."""
    # Connecting a datagram socket chooses a route and sends nothing; these addresses are reserved for documents.
    aim = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((aim, 9))
            return str(asked.getsockname()[0])
    except OSError:
        return ""
