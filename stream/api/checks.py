"""What a program gives, checked where a wrong type would else fail somewhere inside, or go unnoticed."""

from collections.abc import Sequence
from math import isfinite
from numbers import Real
from typing import Any, get_args

from stream.channel import Policy
from stream.types import StreamError


def finite(value: object) -> bool:
    """Whether it is one finite real number, Python's or NumPy's."""
    return isinstance(value, Real) and isfinite(value)


def check_sinks(sinks: Any) -> Sequence[Any]:
    """Refuse what are no sinks, before anything runs.

    Raises:
        StreamError: for what is no sequence of sinks, a class in place of a sink, one that lacks something, or one that
            is given twice.
    """
    if not isinstance(sinks, Sequence) or isinstance(sinks, str):
        raise StreamError(f"sinks is {type(sinks).__name__}; give a list of sinks")
    for number, sink in enumerate(sinks):
        name = sink.__name__ if isinstance(sink, type) else type(sink).__name__
        if isinstance(sink, type):
            raise StreamError(f"sink {name} is a class; give one of it: {name}(...)")
        lacks = [what for what in ("open", "write", "close") if not callable(getattr(sink, what, None))]
        lacks += [what for what in ("policy", "wants_images") if not hasattr(sink, what)]
        if lacks:
            raise StreamError(f"{name} is no sink: it lacks {', '.join(lacks)}; see stream.Sink")
        if sink.policy not in get_args(Policy):
            raise StreamError(f"sink {name}: its policy is {sink.policy!r}; give 'latest' or 'every'")
        if any(sink is other for other in sinks[:number]):
            raise StreamError(f"sink {name} is given twice")
    return sinks
