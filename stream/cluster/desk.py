"""Where questions of other computers wait that take long to answer: one after another, in a thread of its own."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from stream.cluster.wire import WireError, decode
from stream.words import own_fault

if TYPE_CHECKING:
    import zenoh

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Desk:
    """Answers questions of one kind.

    Args:
        what: is answered, as messages call it: "a picture".
        most: wait; more are not answered.
    """

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most = what, most
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"cluster-{what.split()[-1]}")
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False

    def take(self, query: "zenoh.Query", mine: str, of: type[T], work: Callable[[T], bytes | None]) -> None:
        """Take a question, in a thread of zenoh's.

        Args:
            query: the question.
            mine: the key that it is answered under.
            of: what it must be; anything else is not answered.
            work: makes the answer, in the thread here; None: there is none.
        """
        try:
            message = decode(bytes(query.payload or b""), of)
        except WireError:
            query.drop()
            return
        with self._lock:
            if self._waiting >= self._most or self._closed:
                query.drop()
                return
            self._waiting += 1
            self._pool.submit(self._answer, query, mine, message, work)

    def close(self) -> None:
        """Finish what is being answered, and leave the rest."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(cancel_futures=True)

    def _answer(self, query: "zenoh.Query", mine: str, message: T, work: Callable[[T], bytes | None]) -> None:
        import zenoh

        try:
            answer = work(message)
            if answer is not None:
                query.reply(mine, answer)
        except zenoh.ZError:
            _log.debug("%s could not be sent", self._what, exc_info=True)  # whoever asked is gone
        except Exception as error:  # of this thread nobody else would hear
            _log.debug("%s could not be made", self._what, exc_info=True)
            _log.error("%s", own_fault(self._what, error))
        finally:
            query.drop()
            with self._lock:
                self._waiting -= 1
