"""A computer of a group as a process, whose clock and faults are chosen. ``python -m tests.cluster_node``."""

import argparse
import contextlib
import socket
import sys
import threading
import time

import numpy as np

from engines.types import Detection, Seen, Sighting
from stream.cluster.group import Group, group
from stream.cluster.node import Node
from stream.cluster.session import key
from stream.cluster.system_clock import SystemClock
from stream.cluster.wire import Card

FPS = 30.0


def free_group(name="lab"):
    """A group at an address that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return Group(name, port=free.getsockname()[1])


def somebody(t):
    """Who walks over the image: where the right hip is tells when."""
    xy = np.float32([[100 + 10 * t + 10 * (k % 4), 50 + 8 * k] for k in range(17)])
    return Seen("made-up", (Sighting(0, Detection(xy, np.full(17, 0.9, np.float32), np.zeros(17, bool), "made-up")),))


@contextlib.contextmanager
def publishing(*cameras, to=None):
    """The group to which a node in this process publishes."""
    to, over = to or free_group(), threading.Event()
    node = Node(to, lambda: [Card(name, (640, 480), FPS, None, None) for name in cameras], live=True, software="test")
    node.open()

    def publish():
        index = 0
        while not over.wait(1 / FPS):
            for name in cameras:
                node.put(name, index, time.monotonic(), (640, 480), somebody(time.monotonic()))
            index += 1

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield to
    finally:
        over.set()
        thread.join()
        node.close()


def main(argv=None):
    p = argparse.ArgumentParser()
    p.add_argument("group", type=group)
    p.add_argument("cameras", nargs="+")
    p.add_argument("--offset", type=float, default=0.0)
    p.add_argument("--kept", type=float, help="seconds within which its system's clock is said to be right")
    p.add_argument("--wrong", type=float, default=0.0, help="seconds by which that is wrong")
    p.add_argument("--fault", choices=["twice", "garbage", "version", ""], default="")
    args = p.parse_args(argv)

    def clock():
        return time.monotonic() + args.offset

    cards = [Card(name, (640, 480), FPS, None, None) for name in args.cameras]
    node = Node(args.group, lambda: cards, live=True, software="test", clock=clock,
                system=SystemClock(lambda: time.time() + args.wrong, lambda: args.kept))  # fmt: skip
    if args.fault == "version":
        setattr(sys.modules["stream.cluster.wire"], "VERSION", 77)  # noqa: B010
    node.open()
    print(node.id, flush=True)
    start = time.monotonic()
    for index in range(1 << 20):
        time.sleep(max(0.0, start + index / FPS - time.monotonic()))
        for name in args.cameras:
            # The node's clock is what its frames are stamped with; whoever looks knows the true time by the person.
            t = time.monotonic()
            node.put(name, index, t + args.offset, (640, 480), somebody(t))
            if args.fault == "twice":
                node._seq -= 1
                node.put(name, index, t + args.offset, (640, 480), somebody(t))
            elif args.fault == "garbage":
                frames = key(args.group.name, node.id, "frames")
                node._session.put(frames, b"HSN\x01\x01" + bytes(index % 50))


if __name__ == "__main__":
    main()
