"""Prints the first person and the events of `run_stream.py --lsl NAME`; needs `pip install pylsl`.

python examples/receivers/lsl.py [NAME]
"""

import sys

import pylsl

name = sys.argv[1] if len(sys.argv) > 1 else "hypothesis-stream"
print(f"waiting for {name}-1", flush=True)
person = pylsl.StreamInlet(pylsl.resolve_byprop("name", f"{name}-1")[0])
events = pylsl.StreamInlet(pylsl.resolve_byprop("name", f"{name}-events")[0])
labels, channel = [], person.info().desc().child("channels").child("channel")
while channel.child_value("label"):
    labels.append(channel.child_value("label"))
    channel = channel.next_sibling()
while True:
    sample, time = person.pull_sample(1.0)
    if sample is not None:
        said = dict(zip(labels, sample, strict=True))
        wrist = " ".join(f"{said[f'left_wrist_{axis}']:+.2f}" for axis in "xyz")
        age = pylsl.local_clock() - time - person.time_correction()
        print(
            f"person {said['person']:.0f}, p = {said['probability']:.2f}: left wrist {wrist} m, {age:.3f} s ago",
            flush=True,
        )
    event, time = events.pull_sample(0.0)
    if event is not None:
        print(event[0], flush=True)
