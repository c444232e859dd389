"""Prints transforms that `run_stream.py --ros2` publishes; needs no ROS, but `pip install cyclonedds` and this package.

python examples/receivers/ros2.py
"""

import time

from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from stream.sinks._dds import Participant
from stream.sinks._ros_types import ros_types

participant = Participant("lo")
reader = DataReader(participant.entity, Topic(participant.entity, "rt/tf", ros_types().TFMessage))
print("listening to /tf", flush=True)
while True:
    for message in reader.take(10):
        for transform in getattr(message, "transforms", []):  # none in what says that a publisher left
            if transform.child_frame_id.endswith("/left_wrist"):
                at = transform.transform.translation
                print(f"{transform.child_frame_id} {at.x:+.2f} {at.y:+.2f} {at.z:+.2f} m", flush=True)
    time.sleep(0.005)
