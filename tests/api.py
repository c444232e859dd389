"""What the tests of ``import stream`` share: a detector that knows the figure, a stream of it, a sink that fails."""

import stream
from stream.channel import Policy
from tests.known import KnownDetector, figure

CLIP = "synthetic:frames=12"


class Known(KnownDetector):
    def __init__(self):
        super().__init__(figure(CLIP))


def opened(*sources, **keywords):
    return stream.open_stream(*(sources or (CLIP,)), **{"detector": "known", **keywords})


class Broken:
    policy: Policy = "every"
    wants_images = False

    def open(self, run_info):
        pass

    def write(self, estimate, images) -> None:
        raise OSError("disk full")

    def close(self):
        return None


def image(index=0):
    return figure(CLIP).render(index)
