"""XML from strangers: no entities, bounded depth."""

from xml.etree import ElementTree

from calibration import text


def parse_xml(words: str) -> ElementTree.Element:
    """The root of a document.

    Raises:
        ValueError: for what is none, or beyond the limits.
    """
    if "<!ENTITY" in words:
        raise ValueError("XML entities are refused (they can be made to fill the memory)")
    try:
        parser, depth = ElementTree.XMLPullParser(("start", "end")), 0
        for start in range(0, len(words), 1 << 14):
            parser.feed(words[start : start + (1 << 14)])
            for event in parser.read_events():
                depth += 1 if event[0] == "start" else -1
                if depth > text.DEEPEST:
                    raise ValueError(f"elements lie deeper inside each other than {text.DEEPEST}")
        parser.close()
        return ElementTree.fromstring(words)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
