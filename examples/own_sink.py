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
        self.up: set[tuple[int, str]] = set()
        self.count = 0

    def write(self, estimate: stream.Estimate, images: object) -> None:
        up = set()
        for person in estimate.people:
            view = person.views[0]  # of the first camera, None where it does not see this person
            if view is not None and view.answer is not None:
                height = view.answer[:, 1]  # mm, downwards
                up |= {(person.person_id, side) for side, hand in HANDS.items() if height[hand] < height[HEAD]}
        for person_id, side in sorted(up - self.up):
            print(f"{estimate.t:5.2f} s: person {person_id} raises the {side} hand")
        self.count += len(up - self.up)
        self.up = up

    def close(self) -> str:
        return f"hands went up {self.count} times"


sources = sys.argv[1:2]
with stream.open_stream(*sources, demo=not sources, sinks=[HandsUp()]) as live:
    for estimate in live:
        if estimate.t > 3:
            live.control.stop()
print(*live.summary.lines, sep="\n")
