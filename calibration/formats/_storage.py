"""What OpenCV's FileStorage writes, in any of its three languages: YAML, XML and JSON."""

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from calibration import text
from calibration.errors import CalibrationError
from calibration.formats._xml import parse_xml
from calibration.formats._yaml import as_array, parse_yaml, scalar

SUFFIXES = (".yml", ".yaml", ".xml", ".json")


def read_storage(path: Path) -> dict[str, Any]:
    """Top-level keys with numbers, text, lists or arrays, as ``read_yaml`` gives them.

    Raises:
        CalibrationError: where it is not what is read here.
    """
    kind = {".xml": "XML", ".json": "JSON"}.get(path.suffix.lower(), "YAML")
    try:
        words = text.read(path)
        if kind == "YAML":
            return parse_yaml(words)
        if kind == "JSON":
            text.check_nesting(words)
            found = _from_json(text.parse_json(words))
        else:
            found = _from_xml(parse_xml(words))
        if not isinstance(found, dict):
            raise ValueError("no keys in it")
    except ValueError as error:
        raise CalibrationError(f"{path}: cannot be read as {kind}: {error}") from error
    return found


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return as_array({key: _from_json(item) for key, item in value.items()})
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, int | float):
        # An integer may be larger than any float.
        return float(value) if not abs(value) > 1e300 else math.inf if value > 0 else -math.inf
    # OpenCV writes what is not finite as a word.
    return scalar(value) if isinstance(value, str) and value.lower().lstrip("+-") in (".inf", ".nan") else value


def _from_xml(node: ElementTree.Element) -> Any:
    children = list(node)
    words = (node.text or "").split()
    if not children:
        if node.tag == "data" or len(words) > 1 and node.get("type_id") is None and '"' not in (node.text or ""):
            values = [scalar(word) for word in words]
            # What is text and not a list of numbers stays text.
            return values if node.tag == "data" or all(isinstance(v, float) for v in values) else " ".join(words)
        return scalar(words[0]) if words else None
    if len(children) > text.MOST_VALUES:
        raise ValueError(f"more than {text.MOST_VALUES:,} values")
    if all(child.tag == "_" for child in children):
        return [_from_xml(child) for child in children]
    found: dict[str, Any] = {}
    for child in children:
        if child.tag in found:
            raise ValueError(f"{text.shown(child.tag)} is there twice")
        found[child.tag] = _from_xml(child)
    return as_array(found)
