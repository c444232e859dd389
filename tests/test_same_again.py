"""The same files give the same answer, bit by bit, in whatever order the threads of a run come."""

import pickle
import sys
from dataclasses import replace

import pytest

import stream
from stream.app import demo
from stream.types import StreamError


def answers(**flags: object) -> list[bytes]:
    """Everything that a run says of each moment but how long it took."""
    with stream.open_stream(
        demo="multi", runtime="onnx", precision="fp32", detector="movenet-lightning", **flags
    ) as run:  # pyright: ignore[reportArgumentType]
        return [pickle.dumps(replace(estimate, stages=None)) for estimate in run]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flags", [{}, {"people": 3}], ids=["one person", "several"])
def test_files_given_again_give_the_same_answer_in_any_order_of_threads(flags: dict[str, object]) -> None:
    try:
        demo.fetch(demo.MULTI)
    except StreamError as error:
        pytest.skip(str(error))
    first = answers(**flags)
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)  # threads take turns as if the machine were busy
        again = answers(**flags)
    finally:
        sys.setswitchinterval(before)
    assert len(first) > 90 and again == first
