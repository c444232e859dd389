"""Several sources opened at once: a camera takes seconds to give an image, and eight of them the same seconds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from calibration.errors import UserError
from stream.sources._source import Source, SourceInfo
from stream.types import StreamError


def open_all(sources: Sequence[Source], stack: ExitStack) -> list[SourceInfo]:
    """Open them side by side.

    Args:
        sources: not open.
        stack: closes them, also where one of them cannot be opened.

    Returns:
        What each gives, in their order.

    Raises:
        StreamError: if some cannot be opened, with the reason of each.
    """
    if len(sources) == 1:
        stack.callback(sources[0].close)
        return [sources[0].open()]
    pool = ThreadPoolExecutor(max(len(sources), 1), thread_name_prefix="open")
    for source in sources:
        stack.callback(source.close)
    under_way = [pool.submit(source.open) for source in sources]
    # Not waited for: an interrupted program closes the sources next, which ends what is still being opened.
    pool.shutdown(wait=False)
    infos: list[SourceInfo] = []
    refused: list[UserError] = []
    for one in under_way:
        try:
            infos.append(one.result())
        except UserError as error:
            refused.append(error)
    if len(refused) > 1:
        raise StreamError("; ".join(map(str, refused)))
    if refused:
        raise refused[0]
    return infos
