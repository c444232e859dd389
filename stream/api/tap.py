"""The sink through which a program takes estimates, in its own thread."""

from collections.abc import Mapping
from contextlib import suppress

from calibration.arrays import Image
from stream.channel import Channel, Closed, Policy
from stream.recordings.run_info import RunInfo
from stream.types import Estimate


class Tap:
    """Hands on one frame set at a time.

    Args:
        policy: "latest" passes over what nobody takes in time, "every" waits.
        images: whether it hands on images too.
    """

    def __init__(self, policy: Policy, images: bool) -> None:
        self.policy: Policy = policy
        self.wants_images = images
        self.channel: Channel[tuple[Estimate, Mapping[str, Image | None]]] = Channel(policy, 1)

    def open(self, run_info: RunInfo) -> None:
        """Nothing to do."""

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Hand it on; whoever has closed the stream wants no more."""
        with suppress(Closed):
            self.channel.put((estimate, images))

    def close(self) -> None:
        """What was handed on can still be taken."""
        self.channel.close()
