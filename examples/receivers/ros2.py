"""Prints the transforms that `run_stream.py --ros2` publishes, without ROS; needs `pip install cyclonedds`."""

from dataclasses import dataclass

from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import float64, int32, sequence, uint32
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

LOOPBACK = """<CycloneDDS><Domain id="any"><General>
<Interfaces><NetworkInterface address="127.0.0.1" multicast="false"/></Interfaces><AllowMulticast>false</AllowMulticast>
</General><Discovery><ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""


def message(package, name, **fields):
    """A type of ROS 2, as its .msg file has it."""

    class Message(IdlStruct, typename=f"{package}::msg::dds_::{name}_"):
        __annotations__ = fields

    return dataclass(Message)


Time = message("builtin_interfaces", "Time", sec=int32, nanosec=uint32)
Header = message("std_msgs", "Header", stamp=Time, frame_id=str)
Vector3 = message("geometry_msgs", "Vector3", x=float64, y=float64, z=float64)
Quaternion = message("geometry_msgs", "Quaternion", x=float64, y=float64, z=float64, w=float64)
Transform = message("geometry_msgs", "Transform", translation=Vector3, rotation=Quaternion)
Stamped = message("geometry_msgs", "TransformStamped", header=Header, child_frame_id=str, transform=Transform)
TFMessage = message("tf2_msgs", "TFMessage", transforms=sequence[Stamped])

domain = Domain(0, LOOPBACK)
participant = DomainParticipant(0)
reader = DataReader(participant, Topic(participant, "rt/tf", TFMessage))
print("listening to /tf", flush=True)
while True:
    for got in reader.take_iter(timeout=duration(seconds=1)):
        for transform in getattr(got, "transforms", []):  # none in what says that a publisher left
            if transform.child_frame_id.endswith("/left_wrist"):
                at = transform.transform.translation
                print(f"{transform.child_frame_id} {at.x:+.2f} {at.y:+.2f} {at.z:+.2f} m", flush=True)
