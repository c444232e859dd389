"""The computers whose cameras a run fuses: they are told what to record."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from stream.app.record_switch import RecordSwitch
from stream.cluster.orders import Orders
from stream.config import SourceConfig
from stream.live.pipeline import Pipeline
from stream.sources.node import listeners


def command_nodes(sources: Sequence[SourceConfig], pipeline: Pipeline, switch: RecordSwitch, stack: ExitStack) -> None:
    """Have the computers whose cameras a run fuses record and note what it does; nothing where there are none.

    Args:
        sources: of the run, open.
        pipeline: the run, not started.
        switch: of its recording.
        stack: ends with the run.
    """
    if not pipeline.live:
        return
    for listener in listeners(sources):
        orders = Orders(listener, pipeline.tell)
        stack.callback(orders.finish)
        pipeline.control.follow(orders.event)
        switch.changed.append(orders.record)
        pipeline.notes.append(lambda orders=orders: orders.note)
        pipeline.facts.append(orders.facts)
        pipeline.endings.append(orders.finish)


def looking(sources: Sequence[SourceConfig]) -> Callable[[], None]:
    """What asks the computers whose cameras are fused for pictures, as long as it is called."""
    heard = listeners(sources)

    def look() -> None:
        for listener in heard:
            listener.want_pictures()

    return look
