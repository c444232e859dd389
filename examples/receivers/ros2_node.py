"""A node of ROS 2 that prints the people of `run_stream.py --ros2`, wherever a ROS 2 is installed (Humble or later).

    ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST python3 examples/receivers/ros2_node.py

Before Iron it is ROS_LOCALHOST_ONLY=1. It is needed as the program speaks on loopback only, if not told otherwise.
"""

import json

import rclpy
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from std_msgs.msg import String


class People(Node):
    """Follows whoever the moments tell of."""

    def __init__(self):
        super().__init__("people")
        self.followed = {}
        self.create_subscription(String, "/hypothesis_stream/moment", self.moment, 10)

    def moment(self, message):
        for person in json.loads(message.data)["people"]:
            if person["id"] not in self.followed:
                topic = f"/hypothesis_stream/person_{person['id']}/joints"
                self.followed[person["id"]] = self.create_subscription(PoseArray, topic, self.joints(person["id"]), 10)

    def joints(self, person):
        def show(message):
            wrist = message.poses[13].position  # the order of the joints is that of docs/live.md
            self.get_logger().info(f"person {person}: left wrist {wrist.x:+.2f} {wrist.y:+.2f} {wrist.z:+.2f} m")

        return show


if __name__ == "__main__":
    rclpy.init()
    rclpy.spin(People())
