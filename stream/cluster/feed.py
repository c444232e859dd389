"""What one camera of a group gives, as whoever fuses keeps it."""

from collections import Counter
from typing import Final

from stream.channel import Channel
from stream.cluster.messages import Card, Picture, SeenFrame
from stream.types import StreamError

MOST_APART: Final = 50_000
"""Frames that one camera may be ahead of another."""
FIRST_BYTES, LEAST_BYTES = 8 << 10, 2 << 10
"""Of a picture, at first and at least."""


class Feed:
    """What one camera of a group gives. ``read`` is called by one thread."""

    def __init__(self, card: Card, live: bool) -> None:
        self.card, self.live = card, live
        self.frames: Channel[tuple[str, SeenFrame]] = Channel("latest", 1) if live else Channel("every", MOST_APART)
        """With the node each is of."""
        self.owner = ""
        """The node that holds it."""
        self.changes = 0
        """How often another node took it over."""
        self.seq = -1
        self.t = float("-inf")
        self.came: float | None = None
        """Monotonic seconds at which a frame came last."""
        self.lost: Counter[str] = Counter()
        """Frames that were not used, by the reason."""
        self.refused = ""
        """Who else publishes it, and is not heard."""
        self.picture: tuple[float, Picture] | None = None
        """The newest, and the monotonic seconds at which it came."""
        self.looked = float("-inf")
        """Monotonic seconds at which it was asked for one."""
        self.most = FIRST_BYTES
        """Bytes of the next one, by what the way takes."""
        self.error: StreamError | None = None
