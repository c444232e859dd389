"""The other side of live outputs, each in a process of its own: ``python -m tests.live_peers KIND ...``.

They know nothing of this program: what they get they print, a line of JSON each, with the monotonic time it came at.
"""

import asyncio
import contextlib
import dataclasses
import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def show(**what):
    print(json.dumps(what), flush=True)


def udp(port="0"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", int(port)))
        show(ready=s.getsockname()[1])
        while True:
            data = s.recv(65536)
            show(at=time.monotonic(), bytes=len(data), said=json.loads(data))


def osc(port="0"):
    from pythonosc.dispatcher import Dispatcher
    from pythonosc.osc_server import BlockingOSCUDPServer

    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda where, *values: show(at=time.monotonic(), where=where, values=values))
    with BlockingOSCUDPServer(("127.0.0.1", int(port)), dispatcher) as server:
        show(ready=server.server_address[1])
        server.serve_forever()


def _lsl(config):
    import pylsl

    if config:
        pylsl.lib.lib.lsl_set_config_content(config.encode())
    return pylsl


def lsl(name, config=""):
    """An inlet: what it gets with the sender's times brought to this process's clock, and that to the monotonic one."""
    pylsl = _lsl(config)
    show(ready=0)
    found = []
    while not found:
        found = pylsl.resolve_byprop("name", name, 1, 1)
    inlet = pylsl.StreamInlet(found[0])
    inlet.open_stream(10)
    info = inlet.info(10)
    labels, channel = [], info.desc().child("channels").child("channel")
    for _ in range(info.channel_count()):
        labels.append([channel.child_value(key) for key in ("label", "unit", "type")])
        channel = channel.next_sibling()
    inlet.time_correction(10)
    tries = []
    for _ in range(100):
        before, theirs, after = time.monotonic(), pylsl.local_clock(), time.monotonic()
        tries.append((after - before, (before + after) / 2 - theirs))
    offset = min(tries)[1]
    show(source=info.source_id(), labels=labels, address=info.as_xml().count("<v6data_port>0<"))
    while True:
        sample, t = inlet.pull_sample(1)
        if sample is not None:
            show(at=time.monotonic(), t=t + inlet.time_correction(10) + offset, sample=sample)


def lsl_markers(name, config=""):
    """An outlet of markers: each line of its input is one."""
    pylsl = _lsl(config)
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, "string", f"test {name}"))
    show(ready=0)
    for k in range(10_000):
        outlet.push_sample([f"stimulus {k}"], pylsl.local_clock() - 0.5)
        show(t=time.monotonic() - 0.5, number=k)
        time.sleep(0.05)


def dds(topic, name, interface="lo"):
    """A second participant: what it finds of topics, and the messages of one."""
    from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
    from cyclonedds.sub import DataReader
    from cyclonedds.topic import Topic

    from stream.sinks._dds import Participant
    from stream.sinks._ros_types import ros_types

    kept = Participant(interface)
    participant = kept.entity
    reader = DataReader(participant, Topic(participant, f"rt/{topic}", getattr(ros_types(), name)))
    found = BuiltinDataReader(participant, BuiltinTopicDcpsPublication)
    show(ready=0)
    while True:
        for one in found.take(20):
            if hasattr(one, "topic_name"):
                show(topic=one.topic_name, kind=one.type_name)
        for message in filter(dataclasses.is_dataclass, reader.take(20)):
            show(at=time.monotonic(), said=dataclasses.asdict(message), cdr=message.serialize().hex())  # pyright: ignore[reportAttributeAccessIssue] - made by cyclonedds
        time.sleep(0.001)


async def _websocket(url, sends):
    from websockets.asyncio.client import connect

    async with connect(url) as connection:
        show(ready=0)
        for said in sends:
            await connection.send(said)
        async for got in connection:
            if isinstance(got, bytes):
                import msgpack

                show(at=time.monotonic(), bytes=len(got), packed=True, said=msgpack.unpackb(got))
            else:
                show(at=time.monotonic(), bytes=len(got), said=json.loads(got))


def websocket(url, *sends):
    asyncio.run(_websocket(url, sends))


async def _websockets(url, count):
    from websockets.asyncio.client import connect

    newest = [-1] * count

    async def one(k, connection):
        async for got in connection:
            found = re.search('"index":([0-9]+)', got[:200])
            newest[k] = int(found[1]) if found else -1

    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(url)) for _ in range(count)]
        tasks = [asyncio.create_task(one(k, client)) for k, client in enumerate(clients)]
        show(ready=0)
        while not tasks[0].done():
            await asyncio.sleep(0.05)
            show(newest=min(newest))


def websockets(url, count):
    """As many clients in one process, which tell the newest moment that all of them got."""
    asyncio.run(_websockets(url, int(count)))


async def _flood(url):
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    async with connect(url) as connection:
        show(ready=0)
        sent = 0
        try:
            while True:
                await connection.send('{"command": "end"}')
                sent += 1
        except ConnectionClosed as error:
            show(sent=sent, code=error.rcvd.code if error.rcvd else None)


def flood(url):
    """A page that asks as fast as it can, until it is sent away."""
    asyncio.run(_flood(url))


class Peer:
    """A peer at work; what it printed so far."""

    def __init__(self, kind, *args, env=None):
        command = [sys.executable, "-m", "tests.live_peers", kind, *map(str, args)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.got, self._lines = [], queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ready = self.until(lambda got: "ready" in got)["ready"]

    def _read(self):
        for line in self._process.stdout or ():
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def until(self, wanted, act=lambda: None, patience=30.0):
        """The first thing it prints from now on that is wanted; ``act`` is done until it comes."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            act()
            try:
                got = self._lines.get(timeout=0.05)
            except queue.Empty:
                continue
            if got is None:
                raise AssertionError(f"the peer ended: {self._process.stderr.read()}")
            self.got.append(got)
            if wanted(got):
                return got
        raise AssertionError(f"it never came; the last that did: {self.got[-3:]}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._process.stderr.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
