"""What a process listens on, as the kernel tells it: ``show`` prints its sockets and the multicast groups it joined."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BIND_TO_DEVICE = 25  # SO_BINDTODEVICE
LISTEN, UNCONNECTED = "0A", "07"


def _own():
    """inode -> the device that a socket of this process takes from, "" for all."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
            if not name.startswith("socket:["):
                continue
            with socket.socket(fileno=os.dup(int(number))) as copy:
                inet = copy.family in (socket.AF_INET, socket.AF_INET6)
                device = copy.getsockopt(socket.SOL_SOCKET, BIND_TO_DEVICE, 16) if inet else b""
            found[name[8:-1]] = device.rstrip(b"\0").decode()
        except OSError:
            continue
    return found


def listening():
    """(kind, address, port) of what takes connections or datagrams from somebody; 0.0.0.0%lo is loopback's alone.

    UDP sockets on a port of the system's choice that nobody was told of only ask: they are not among them.
    """
    own = _own()
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for kind in ("tcp", "udp", "tcp6", "udp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if rest[5] not in own or state not in (LISTEN, UNCONNECTED):
                continue
            number, port = local.split(":")
            family = socket.AF_INET6 if kind.endswith("6") else socket.AF_INET
            words = [bytes.fromhex(number[k : k + 8])[::-1] for k in range(0, len(number), 8)]
            address = socket.inet_ntop(family, b"".join(words))
            if kind.startswith("udp") and low <= int(port, 16) <= high:
                continue
            device = own[rest[5]]
            yield kind, f"{address}%{device}" if device else address, int(port, 16)


def groups():
    """(interface, group) of the multicast groups that anybody on this machine has joined, but on lo."""
    found, device = [], ""
    for line in Path("/proc/net/igmp").read_text().splitlines()[1:]:
        if not line.startswith("\t"):
            device = line.split()[1]
        elif device != "lo":
            found.append((device, socket.inet_ntoa(bytes.fromhex(line.split()[0])[::-1])))
    return found


def show():
    for kind, address, port in listening():
        print(f"{kind} {address}:{port}")
    for device, group in groups():
        print(f"group {group} on {device}")


_NETWORK = (
    "ip link set lo up && ip link add lan type veth peer name other && ip addr add 198.51.100.9/24 dev lan "
    "&& ip link set lan up && ip link set other up && "
)


def printed(code):
    """What a program prints that has a network of its own, of loopback and one interface: nobody else is in it.

    Skips the test where this user may not make one.
    """
    root = Path(__file__).resolve().parents[1]
    tried = subprocess.run(
        ["unshare", "-n", "sh", "-c", _NETWORK + "true"], capture_output=True, timeout=30, check=False
    )
    if tried.returncode:
        pytest.skip("needs a network namespace of its own: root, unshare and ip")
    command = ["unshare", "-n", "sh", "-c", _NETWORK + 'exec "$0" -c "$1"', sys.executable, code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def beyond(lines):
    """Of those lines what another machine could reach or would notice; every machine is in 224.0.0.1."""
    own = ("127.", "0.0.0.0%lo", "[::1]", "224.0.0.1")
    return [line for line in lines if not line.split()[1].startswith(own)]
