"""The page as one file: its parts lie beside each other in ``page/`` and are put into one document."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "page"
_SCRIPTS: Final = ("three.min.js", "scene.js", "panel.js", "film.js", "link.js", "main.js")


def document(take: str = "") -> str:
    """The page, which needs nothing beside it.

    Args:
        take: what ``snapshot`` makes of a take, base64; without it the page asks the server that it came from.

    Returns:
        HTML. Its policy lets no script run but its own, and nothing be fetched from elsewhere.
    """
    scripts = [_read(name) for name in _SCRIPTS]
    style = _read("page.css")
    allowed = " ".join(map(_hash, scripts))
    # 'self' is not the WebSocket of the same place in older browsers.
    connect = "'none'" if take else "'self' ws:"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src blob: data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "style": style,
        "take": take,
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


@cache
def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
