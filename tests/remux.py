"""Videos put into another container, or moved and cut in theirs, without encoding them anew."""

from collections.abc import Callable, Mapping
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet

Change = Callable[[Packet, int], bool]


def copied(
    path: Path, source: Path, change: Change = lambda packet, number: True, options: Mapping[str, str] | None = None
) -> Path:
    """``change`` moves a packet's times, or leaves the packet out; ``options`` are the muxer's."""
    with av.open(str(source)) as read, av.open(str(path), "w", options=dict(options or {})) as write:
        track = read.streams.video[0]
        target = write.add_stream_from_template(track)
        for number, packet in enumerate(video_packets(read)):
            if change(packet, number):
                packet.stream = target
                write.mux(packet)
    return path


def video_packets(container: InputContainer) -> list[Packet]:
    return [packet for packet in container.demux(container.streams.video[0]) if packet.size]


def moved(seconds: float, first: int = 0) -> Change:
    """Times later by so many seconds, from a packet on."""

    def change(packet: Packet, number: int) -> bool:
        assert packet.pts is not None and packet.dts is not None and packet.time_base is not None
        shift = round(seconds / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        return number >= first

    return change


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
"""Options of MP4 in fragments, as phones, browsers and OBS write it."""
