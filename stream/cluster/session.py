"""Opens zenoh so that it speaks to nobody but the computers that were named."""

import json
import secrets
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stream.cluster.group import Group
from stream.cluster.keys import CA, CERTIFICATE, KEY
from stream.types import StreamError

if TYPE_CHECKING:
    import zenoh

NEEDS: Final = "needs the packages eclipse-zenoh and msgpack: pip install eclipse-zenoh==1.10.2 msgpack==1.2.4"
_LEASE_MS: Final = 3000
_RETRY: Final = {"period_init_ms": 200, "period_max_ms": 500, "period_increase_factor": 1.5}


def new_id() -> str:
    """What a process of a group is called: what its computer is called, and something that no other has."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in socket.gethostname())[:60]
    return f"{host or 'node'}-{secrets.token_hex(4)}"


def key(group: str, node: str, what: str) -> str:
    """The key of something of a node; ``*`` for a group or a node stands for all."""
    return f"hypothesis-stream/{group}/{node}/{what}"


def node_of(key_expression: object) -> tuple[str, str]:
    """Group and node of a key."""
    parts = str(key_expression).split("/")
    return (parts[1], parts[2]) if len(parts) == 4 else ("", "")


def check(what: str, group: Group) -> None:
    """Find out before anything is opened what cannot be.

    Args:
        what: the flag, as messages call it.
        group: where the computers meet.

    Raises:
        StreamError: if a package is missing, or for a way beyond this machine without keys.
    """
    try:
        import msgpack  # noqa: F401
        import zenoh  # noqa: F401
    except ImportError as error:
        raise StreamError(f"{what} {NEEDS}") from error
    if not group.loopback and group.keys is None:
        raise StreamError(
            f"{what} {group}: beyond this machine it goes encrypted, with keys that both sides have: make them with "
            "--make-keys FOLDER, copy the folder to each computer, and give --keys FOLDER"
        )
    if group.keys is not None:
        missing = [name for name in (CA, CERTIFICATE, KEY) if not (group.keys / name).is_file()]
        if missing:
            raise StreamError(f"--keys {group.keys}: there is no {missing[0]} in it; --make-keys FOLDER makes one")


def open_session(what: str, group: Group, *, listen: bool) -> "zenoh.Session":
    """A session that listens at the address of the group, or goes on trying to connect to it.

    Args:
        what: the flag, as messages call it.
        group: where the computers meet.
        listen: whether this is the computer that fuses.

    Raises:
        StreamError: as ``check``, and for an address that cannot be listened on.
    """
    check(what, group)
    import zenoh

    config = zenoh.Config()
    for name, value in _settings(group, listen).items():
        config.insert_json5(name, json.dumps(value))
    try:
        return zenoh.open(config)
    except zenoh.ZError as error:
        said = str(error)
        if "in use" in said or "os error 98" in said:
            raise StreamError(
                f"{what}: port {group.port} of {group.host} is taken, perhaps by another run that fuses; give another "
                f"one on all computers, as in {group.name}@{group.host}:{group.port + 1}"
            ) from None
        raise StreamError(f"{what} {group}: cannot be opened ({' '.join(said.split())[:200]})") from None


def _settings(group: Group, listen: bool) -> Mapping[str, Any]:
    host = f"[{group.host}]" if ":" in group.host else group.host
    endpoint = f"{'tls' if group.keys else 'tcp'}/{host}:{group.port}"
    settings: dict[str, Any] = {
        "mode": "peer",
        "scouting/multicast/enabled": False,  # nobody is looked for who was not named
        "scouting/gossip/enabled": False,
        "listen/endpoints": [endpoint] if listen else [],
        # What is on this machine goes the way that all goes, and a process that is killed leaves no memory behind.
        "transport/shared_memory/enabled": False,
        # A cable that was pulled is noticed, and tried again, in seconds and not in ten.
        "transport/link/tx/lease": _LEASE_MS,
        "transport/unicast/open_timeout": _LEASE_MS,
    }
    if not listen:
        settings |= {
            "connect/endpoints": [endpoint], "connect/timeout_ms": -1, "connect/exit_on_failure": False,
            "connect/retry": _RETRY,
        }  # fmt: skip
    if group.keys is not None:
        own = {side: str(group.keys / name) for side, name in (("private_key", KEY), ("certificate", CERTIFICATE))}
        settings["transport/link/tls"] = {
            "root_ca_certificate": str(group.keys / CA),
            "enable_mtls": True,
            "verify_name_on_connect": False,  # the folder's own authority signs nobody else's keys
            **{f"listen_{name}": path for name, path in own.items()},
            **{f"connect_{name}": path for name, path in own.items()},
        }
    return settings
