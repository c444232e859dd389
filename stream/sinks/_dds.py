"""A participant of DDS, ROS 2's transport, kept to loopback unless an interface is named."""

import logging
import os
import re
from typing import Any, Final

from stream.sinks._loopback import confine
from stream.types import StreamError

_log = logging.getLogger(__name__)

LOOPBACK: Final = "lo"
ALL: Final = "all"
_NEEDS: Final = "--ros2 needs the package cyclonedds: pip install cyclonedds==11.0.1"
_MOST: Final = 232
"""The highest domain whose ports there are."""
_PORTS, _EACH = 7400, 250
_KEPT: Final = 10
_WAIT_S: Final = 0.001
"""What a reader that does not keep up may cost; then the message is left out."""
# Others on this machine are asked one by one, at the ports that the first of them have: loopback has no multicast.
_LOOPBACK: Final = """<General><Interfaces><NetworkInterface address="127.0.0.1" multicast="false"/></Interfaces>
<AllowMulticast>false</AllowMulticast></General>
<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>60</MaxAutoParticipantIndex>
<Peers><Peer address="127.0.0.1"/></Peers></Discovery>"""


def domain_id() -> int:
    """The domain that ``ROS_DOMAIN_ID`` names; 0 without it.

    Raises:
        StreamError: for what is none.
    """
    text = os.environ.get("ROS_DOMAIN_ID", "").strip() or "0"
    if not (text.isascii() and text.isdecimal() and int(text) <= _MOST):
        raise StreamError(f"ROS_DOMAIN_ID is {text!r}; give a number from 0 to {_MOST}")
    return int(text)


def settings(interface: str) -> str | None:
    """Cyclone DDS's settings for an interface; None for those of the user (``CYCLONEDDS_URI``)."""
    if interface == ALL:
        return None
    if interface == LOOPBACK:
        inner = _LOOPBACK
    else:
        how = "address" if re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:]+", interface) else "name"
        inner = f'<General><Interfaces><NetworkInterface {how}="{interface}"/></Interfaces></General>'
    return f'<CycloneDDS><Domain id="any">{inner}</Domain></CycloneDDS>'


class Participant:
    """Writes to topics of ROS 2.

    Args:
        interface: whose network it speaks in: "lo", "all", or a name or address.

    Raises:
        StreamError: if the package is missing, or there is no such interface.
    """

    def __init__(self, interface: str) -> None:
        try:
            from cyclonedds.core import DDSException
            from cyclonedds.domain import Domain, DomainParticipant
        except ImportError as error:
            raise StreamError(_NEEDS) from error
        domain, config = domain_id(), settings(interface)
        self._fault = DDSException
        self._domain: Any = None
        try:
            if config is not None:
                self._domain = self._made(Domain, domain, config)
            self.entity: Any = DomainParticipant(domain)
        except DDSException as error:
            raise StreamError(
                f"ros2: no DDS in the network of {interface!r} ({error.msg}); give --ros2 an interface that is up"
            ) from None
        if interface == LOOPBACK and not confine(range(_PORTS + _EACH * domain, _PORTS + _EACH * (domain + 1))):
            _log.warning("ros2: this system cannot keep the library's ports to this machine; a firewall can")
        """Cyclone DDS's own."""
        self._writers: dict[str, Any] = {}
        self.left_out = 0
        """Messages that a reader was too slow for."""

    def _made(self, make: Any, domain: int, config: str) -> Any:
        """The domain; None where another run of this process has it open, whose settings then hold."""
        try:
            return make(domain, config)
        except self._fault as error:
            if error.code == self._fault.DDS_RETCODE_PRECONDITION_NOT_MET:
                return None
            raise

    def wanted(self, topic: str, kind: type) -> bool:
        """Announce a topic, and tell whether anybody subscribes to it.

        Args:
            topic: as ROS has it, without the first slash.
            kind: of its messages.
        """
        if topic not in self._writers:
            self._writers[topic] = self._writer(topic, kind)
        return bool(self._writers[topic].get_matched_subscriptions())

    def write(self, topic: str, message: Any) -> None:
        """Publish a message on a topic that was announced."""
        try:
            self._writers[topic].write(message)
        except self._fault:
            self.left_out += 1

    def forget(self, start: str) -> None:
        """Let go of the topics whose names begin so."""
        self._writers = {topic: writer for topic, writer in self._writers.items() if not topic.startswith(start)}

    def close(self) -> None:
        """Leave."""
        self._writers = {}
        self.entity = self._domain = None

    def _writer(self, topic: str, kind: type) -> Any:
        from cyclonedds.pub import DataWriter
        from cyclonedds.qos import Policy, Qos
        from cyclonedds.topic import Topic
        from cyclonedds.util import duration

        # Reliable, as subscribers of ROS ask for by themselves; plain CDR, which it speaks.
        qos = Qos(
            Policy.Reliability.Reliable(duration(seconds=_WAIT_S)), Policy.History.KeepLast(_KEPT),
            Policy.DataRepresentation(use_cdrv0_representation=True),
        )  # fmt: skip
        return DataWriter(self.entity, Topic(self.entity, f"rt/{topic}", kind), qos=qos)
