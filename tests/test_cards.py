"""Cards of weights: what their values may be, and the bounds of a lifter's numbers, each from both sides."""

import json
from pathlib import Path

import pytest

from engines.cards import Card, digest, load_card, number, verify
from engines.lifter import SHIPPED, MDNLifter
from engines.types import EngineError

HEAD = 'source = "a"\nlicence = "b"\nsha256 = "c"\njoints = "h36m"\ninput = "d"\n[values]\n'


def card_of(folder: Path, values: str, name: str = "x") -> Path:
    """A card without its weights."""
    path = folder / f"{name}.onnx"
    path.with_suffix(".toml").write_text(HEAD + values)
    return path


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ('"text"', True), ("3", True), ("-2.5", True), ("true", True), ("9e14", True), ("-9e14", True), ("[]", True),
        ('[1, "a", 2.5]', True), ("1.1e15", False), ("-1.1e15", False), ("1e15", False), ("nan", False), ("inf", False),
        ("-inf", False), ("2026-01-02", False), ("12:30:00", False), ("2026-01-02T03:04:05Z", False),
        ("{a = 1}", False), ("[[1]]", False), ("[1, nan]", False), ("[{a = 1}]", False), ("[2026-01-02]", False),
    ],
)  # fmt: skip
def test_a_value_is_text_a_finite_number_or_a_list_of_them(tmp_path: Path, value: str, plain: bool) -> None:
    path = card_of(tmp_path, f"key = {value}")
    if plain:
        assert "key" in load_card(path).values
    else:
        with pytest.raises(
            EngineError, match="'key' in .values. is .*, expected text, a finite number or a list of them"
        ):
            load_card(path)


@pytest.mark.parametrize(
    ("value", "right"),
    [(1, True), (2.5, True), (5, True), (0.999, False), (5.001, False), (None, False), ("2", False), (True, False)],
)
def test_a_number_is_between_its_bounds_which_are_allowed(tmp_path: Path, value: object, right: bool) -> None:
    card = Card(tmp_path / "x.onnx", "a", "b", "c", "h36m", "d", {"key": value})
    if right:
        assert number(card, "key", 1, 5) == value
    else:
        with pytest.raises(EngineError, match="key"):
            number(card, "key", 1, 5)


def test_weights_are_those_of_their_card_or_refused(tmp_path: Path) -> None:
    path = card_of(tmp_path, "")
    path.write_bytes(b"weights")
    written = path.with_suffix(".toml").read_text()
    for sha in (digest(path), digest(path).upper()):
        path.with_suffix(".toml").write_text(written.replace('sha256 = "c"', f'sha256 = "{sha}"'))
        assert verify(path).sha256 == sha
    path.write_bytes(b"others")
    with pytest.raises(EngineError, match="do not match their card .*damaged or was replaced"):
        verify(path)
    with pytest.raises(EngineError, match="weights .*gone.onnx cannot be read"):
        digest(tmp_path / "gone.onnx")


BOUNDS = {"scale_mm": (1, 1e5), "sigma_scale": (1e-3, 1e3), "temperature": (1e-3, 1e3), "kernels": (1, 1000)}


@pytest.mark.parametrize("key", BOUNDS)
def test_the_numbers_of_a_lifter_have_bounds(tmp_path: Path, key: str) -> None:
    known = load_card(SHIPPED)
    good = {k: known.values[k] for k in BOUNDS}
    low, high = BOUNDS[key]
    for value, right in ((low, True), (high, True), (low * 0.99, False), (high * 1.01, False)):
        lines = "\n".join(f"{k} = {json.dumps(v)}" for k, v in (good | {key: value}).items())
        path = card_of(tmp_path, lines)
        path.with_suffix(".toml").write_text((HEAD + lines).replace('"h36m"', json.dumps(known.joints)))
        with pytest.raises(EngineError) as raised:
            MDNLifter(path)  # its numbers are looked at first, and then there are no weights
        assert (key in str(raised.value)) is not right
