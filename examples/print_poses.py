"""Print where a hand is, moment by moment: python print_poses.py [SOURCE], the demo's video without one."""

import sys

import stream

HAND = stream.JOINTS.index("left_wrist")
sources = sys.argv[1:]  # such as 0, walk.mp4 or rtsp://..., and several of them

with stream.open_stream(*sources, demo=not sources) as live:
    for estimate in live:
        for person in estimate.people:
            for view in person.views:  # one a camera, None where it does not see this person
                if view is None or view.answer is None or view.root is None:
                    continue
                x, y, z = (view.root + view.answer[HAND]) / 1000  # metres from the camera: right, down, forward
                sure = view.best_track.probability
                print(f"{estimate.t:6.2f} s  left hand {x:+.2f} {y:+.2f} {z:.2f} m, p = {sure:.2f}")
