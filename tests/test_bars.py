"""A bar that cannot be written holds up nobody else."""

import errno
import io
import threading
from collections.abc import Callable

import pytest

from engines.argument_types import DONE
from stream.bars import Bar
from tests.faults.fault import row


class Terminal(io.StringIO):
    """Its disk is full from some time on."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


@row("a bar of progress on a full disk", DONE, "", "the lines and bars of all other threads")
@pytest.mark.parametrize("act", [Bar.refresh, Bar.clear])
def test_who_cannot_write_a_bar_holds_up_no_other_thread(act: Callable[[Bar], object]) -> None:
    out = Terminal()
    bar = Bar(total=3, file=out)
    out.full = True
    with pytest.raises(OSError, match="No space left"):
        act(bar)
    bar.disable = True  # given up
    said = io.StringIO()
    thread = threading.Thread(target=lambda: Bar.write("a line", file=said), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and said.getvalue() == "a line\n"


def test_a_bar_is_drawn_and_cleared() -> None:
    out = Terminal()
    with Bar(total=2, file=out, leave=False) as bar:
        bar.update(2)
        bar.refresh()
        assert "2/2" in out.getvalue()
    assert out.getvalue().endswith("\r")
