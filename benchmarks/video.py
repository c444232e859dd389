"""Long videos out of short ones."""

from pathlib import Path

import av


def repeat(path: Path, times: int, out: Path) -> Path:
    """The video several times in a row, its packets copied as they are."""
    with av.open(str(out), "w") as target:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(path)) as source:
                track = source.streams.video[0]
                stream = stream or target.add_stream_from_template(track)
                last = 0
                for packet in source.demux(track):
                    if packet.dts is None or packet.pts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)
                shift += last
    return out


def duration(path: Path) -> float:
    """Seconds, by the container."""
    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base
