"""A sink of your own: it says when somebody raises a hand. python own_sink.py [SOURCE]"""

import sys

import stream

HANDS = {"left": stream.JOINTS.index("left_wrist"), "right": stream.JOINTS.index("right_wrist")}
HEAD = stream.JOINTS.index("head")


class HandsUp:
    """Lives in a thread of its own, so it may take its time."""

    policy = "every"  # "latest" would pass over moments, and a camera would never wait for it
    wants_images = False

    def open(self, run_info: stream.RunInfo) -> None:
        self.up: set[str] = set()
        self.count = 0

    def write(self, estimate: stream.Estimate, images: object) -> None:
        for view in estimate.views_of(0):
            if view.answer is None:
                continue
            up = {side for side, hand in HANDS.items() if view.answer[hand, 1] < view.answer[HEAD, 1]}  # y points down
            for side in sorted(up - self.up):
                print(f"{estimate.t:5.2f} s: {side} hand up")
                self.count += 1
            self.up = up

    def close(self) -> str:
        return f"hands went up {self.count} times"


sources = sys.argv[1:2]
with stream.open_stream(*sources, demo=not sources, sinks=[HandsUp()]) as live:
    for estimate in live:
        if estimate.t > 2:
            live.control.stop()
print(*live.summary.lines, sep="\n")
