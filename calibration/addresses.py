"""What may be shown of an address: never its credentials, its query or its fragment.

Cameras take passwords as ``user:password@host``, as parameters of any name, and in the path. So nothing is looked for
that should be hidden: of an address only what is known to be harmless is shown. A token that is a plain segment of the
path (``/live/8f3a``) looks like any other segment and is shown.
"""

import re
from collections.abc import Iterable
from typing import Final

HIDDEN: Final = "***"
"""What stands for everything that is not shown."""

# The name that a camera was given may stand before it.
_SCHEME = re.compile(r"((?:[A-Za-z0-9_-]+=)?[A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
_NUMBERS = re.compile(r"([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
# An address whose scheme was left out: credentials before a host, or numbers and then a path or a query. Of a path on
# Windows the drive is no user.
_CREDENTIALS = re.compile(r"(?![A-Za-z]:[\\/])[^:]+:.*@.*", re.DOTALL)
_BARE = re.compile(rf"({_NUMBERS.pattern}([/?#].*)?|[A-Za-z0-9._-]+(:[0-9]+/|[^\s?#]*\?[^\s]*=).*)", re.DOTALL)
# In a message the same; of a host without a scheme only what has a path behind its port, or a query.
_IN_TEXT = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:/{1,3}[^\s]+|(?![A-Za-z]:[\\/])[^\s:/'\"=(]+:[^\s]*@[^\s]+"
    rf"|(?<![A-Za-z0-9._/-])(?:{_NUMBERS.pattern}[/?#]|[A-Za-z0-9._-]+(?::[0-9]+/|[^\s?#'\"=(]*\?[^\s]*=))[^\s]*"
)
_AFTER = "'\"),;:.!?"


def redact(text: str) -> str:
    """What may be shown of a text that may be an address.

    Of an address: scheme, host, port, and the segments of the path that hold none of ``=``, ``:``, ``@`` and ``;``.
    Where a host cannot be told from a part of a password (those hold unescaped ``@``, ``/``, ``?`` and ``#``) it is
    not shown either. What is no address, such as the name of a file, stays as it is.
    """
    if match := _SCHEME.fullmatch(text):
        return f"{match[1]}://{_shown(match[2])}"
    if _CREDENTIALS.fullmatch(text) or _BARE.fullmatch(text):
        return _shown(text)
    return text


def is_address(text: str) -> bool:
    """Whether it is an address of a camera on the network, also one whose scheme was left out."""
    return bool(_SCHEME.fullmatch(text) or _CREDENTIALS.fullmatch(text))


def scrub(text: str, given: Iterable[str] = ()) -> str:
    """A message without the secrets of the addresses that it quotes.

    Args:
        text: the message.
        given: what the user gave, each whole; an address among it, or behind its first ``=``, is found in the message
            whatever it holds. Others are found up to the next space.
    """
    parts = {part for whole in given for part in (whole, whole.partition("=")[2]) if redact(part) != part}
    for part in sorted(parts, key=len, reverse=True):
        for quoted in (part, repr(part)[1:-1]):
            text = text.replace(quoted, redact(part))
    return _IN_TEXT.sub(lambda match: _scrubbed(match[0]), text)


def _scrubbed(word: str) -> str:
    address = word.rstrip(_AFTER)
    return redact(address) + word[len(address) :]


def _shown(rest: str) -> str:
    """Of an address, what comes behind its scheme."""
    authority, path = _split(rest)
    # An @ behind the first / ? or # belongs to a password before the host, or to what comes behind the host.
    behind = path.rpartition("@")[2] if "@" in path else None
    if behind is not None and "@" not in authority and not _HOST.fullmatch(authority) and path.count("@") == 1:
        authority, path = _split(behind)
        authority = f"{HIDDEN}@{authority}"
    elif behind is not None and not _NUMBERS.fullmatch(authority):
        return HIDDEN
    _, at, host = authority.rpartition("@")
    if not _HOST.fullmatch(host):
        return HIDDEN
    path, query = re.fullmatch(r"([^?#]*)(.*)", path, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    segments = [HIDDEN if re.search("[=:@;]", segment) else segment for segment in path.split("/")]
    return f"{HIDDEN}@{host}" * bool(at) + host * (not at) + "/".join(segments) + f"{query[:1]}{HIDDEN}" * bool(query)


def _split(rest: str) -> tuple[str, str]:
    end = re.search(r"[/?#]", rest)
    return (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
