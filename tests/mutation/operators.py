"""The changes: Cosmic Ray's that change what is computed, and four of our own for mistakes that people make."""

# Cosmic Ray and its parso are in requirements-mutation.txt, which the types are checked without.
# pyright: reportMissingImports=false

import random
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.boolean_replacer import (
    ReplaceAndWithOr,
    ReplaceFalseWithTrue,
    ReplaceOrWithAnd,
    ReplaceTrueWithFalse,
)
from cosmic_ray.operators.break_continue import ReplaceBreakWithContinue, ReplaceContinueWithBreak
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.unary_operator_replacement import operators as unary
from cosmic_ray.operators.zero_iteration_for_loop import ZeroIterationForLoop
from parso.python.tree import Name, Number
from parso.python.tree import Operator as Sign


class _Replace(Operator):
    """Another value for a leaf: one mutation for each of those that could stand there instead."""

    @abstractmethod
    def _others(self, node) -> Sequence[str]:
        """The values; none where nothing is to be replaced."""

    def mutation_positions(self, node):
        for _ in self._others(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        node.value = self._others(node)[index]
        return node


class Exchange(_Replace):
    """One word or sign for another that could have been meant."""

    WORDS: Final = {
        "min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax", "argmax": "argmin",
        "minimum": "maximum", "maximum": "minimum", "first": "last", "last": "first", "sin": "cos", "cos": "sin",
    }  # fmt: skip
    SIGNS: Final = {
        "+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "%": "*", "**": "*", "@": "*", "&": "|", "|": "&",
        "<": ("<=", ">"), ">": (">=", "<"), "<=": ("<", ">="), ">=": (">", "<="), "==": "!=", "!=": "==",
        "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=",
    }  # fmt: skip

    def _others(self, node):
        if isinstance(node, Name):
            found = self.WORDS.get(node.value, ())
        elif isinstance(node, Sign) and not _is_star(node):
            found = self.SIGNS.get(node.value, ())
        else:
            found = ()
        return (found,) if isinstance(found, str) else found

    @classmethod
    def examples(cls):
        return (Example("min(a)", "max(a)"), Example("a < b", "a > b", 1))


class Scale(_Replace):
    """A number twice as large, half as large, and an integer one more or less."""

    def _others(self, node) -> list[str]:
        if not isinstance(node, Number) or node.value[:2].lower() in ("0x", "0b", "0o") or node.value[-1] in "jJ":
            return []
        value = float(node.value) if any(c in node.value for c in ".eE") else int(node.value)
        if isinstance(value, float):
            # Below are guards against a division by zero; no test can see them move.
            return [repr(2 * value), repr(value / 2)] if value > 1e-5 else []
        return [str(v) for v in sorted({2 * value, value // 2, value + 1, abs(value - 1)} - {value})]

    @classmethod
    def examples(cls):
        return (Example("a = 6", "a = 3"), Example("a = 0.2", "a = 0.4"))


class Drop(Operator):
    """One side of ``a and b``, ``a or b``, ``a & b`` or ``a | b`` left away."""

    def mutation_positions(self, node):
        if getattr(node, "type", "") in ("and_test", "or_test", "and_expr", "expr"):
            for child in node.children[::2]:
                yield child.start_pos, child.end_pos

    def mutate(self, node, index):
        kept = [child for k, child in enumerate(node.children[::2]) if k != index]
        sign = node.children[1]
        prefix = node.get_first_leaf().prefix
        node.children = [part for child in kept for part in (child, sign)][:-1]
        node.get_first_leaf().prefix = prefix
        return node

    @classmethod
    def examples(cls):
        return (Example("a = b & c", "a = c"),)


class Negate(Operator):
    """The other branch of ``if`` and ``while``: ``if a`` becomes ``if not (a)``."""

    def mutation_positions(self, node):
        if getattr(node, "type", "") in ("if_stmt", "while_stmt"):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node, index):
        test = node.children[1]
        code = test.get_code(include_prefix=False)
        node.children[1] = Name(f"not ({code})", test.start_pos, prefix=" ")
        return node

    @classmethod
    def examples(cls):
        return (Example("if a: b", "if not (a): b"),)


OPERATORS: Final = (
    Exchange, Scale, Drop, Negate, ReplaceAndWithOr, ReplaceOrWithAnd, ReplaceFalseWithTrue, ReplaceTrueWithFalse,
    ReplaceBreakWithContinue, ReplaceContinueWithBreak, ZeroIterationForLoop,
    *(cls for cls in unary() if cls.__name__.endswith(("Delete_USub", "Delete_Invert", "Delete_Not"))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one module."""

    area: str
    module: str
    """Path under the root."""
    operator: str
    occurrence: int
    line: int
    """Of the module, from 1."""
    before: str
    """The lines that change, as they are, stripped."""
    after: str
    """And as they become."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is wherever in the module it stands."""
        return self.module, self.before, self.after


def sample(
    area: str, files: Iterable[Path], root: Path, number: int | None, seed: int, only: str = ""
) -> list[Mutation]:
    """Some mutations of an area: places at random, and one of the changes that fit each.

    Args:
        area: its name.
        files: the modules.
        root: of the repository.
        number: how many; None for all that there are.
        seed: of the choice.
        only: name of one operator; empty for all.
    """
    places: dict[tuple[str, object], list[tuple[str, int]]] = defaultdict(list)
    for path in files:
        tree = get_ast(path.read_text(encoding="utf-8"))
        for cls in OPERATORS:
            if not only or cls.__name__ == only:
                for occurrence, (node, start) in enumerate(_positions(tree, cls())):
                    if _counts(node):
                        places[path.relative_to(root).as_posix(), start].append((cls.__name__, occurrence))
    rng = random.Random(f"{seed} {area}")
    keys = sorted(places)
    if number is None:
        return [m for k in keys for choice in places[k] if (m := made(area, root, k[0], *choice))]
    found: list[Mutation] = []
    rng.shuffle(keys)
    for key in keys:
        if len(found) == number:
            break
        if (mutation := made(area, root, key[0], *rng.choice(places[key]))) is not None:
            found.append(mutation)
    return found


def made(area: str, root: Path, module: str, operator: str, occurrence: int) -> Mutation | None:
    """A mutation with the lines that it changes; None where nothing comes of it."""
    before = (root / module).read_text(encoding="utf-8")
    after = mutated(before, operator, occurrence)
    if after is None or after == before:
        return None
    a, b = before.splitlines(), after.splitlines()
    same = next(k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    end = next(k for k, (x, y) in enumerate(zip(a[::-1], b[::-1], strict=False)) if x != y)
    lines = [" ".join(" ".join(text[same : len(text) - end]).split()) for text in (a, b)]
    return Mutation(area, module, operator, occurrence, same + 1, *lines)


def mutated(source: str, operator: str, occurrence: int) -> str | None:
    """The module's text with the change; None where there is no such place."""
    cls = next(cls for cls in OPERATORS if cls.__name__ == operator)
    return mutate_code(source, cls(), occurrence)


def _positions(tree, operator: Operator) -> Iterator[tuple]:
    for node in ast_nodes(tree):
        for start, _ in operator.mutation_positions(node):
            yield node, start


def _is_star(node) -> bool:
    """Of ``*args``, ``f(*a)``, ``a, *b = c``, ``def f(a, /, *, b)``; or a sign of one side, as in ``-a``."""
    return node.parent.type in (
        "param", "parameters", "argument", "star_expr", "import_from", "factor", "power", "arglist", "lambdef",
        "typedargslist",
    ) and not (node.value == "**" and node.parent.type == "power" and len(node.parent.children) > 2)  # fmt: skip


def _counts(node) -> bool:
    """Whether a change here can be seen: not in a type, a decorator, a message or ``strict=``."""
    child, parent = node, node.parent
    while parent is not None:
        if parent.type in ("decorator", "fstring", "raise_stmt", "assert_stmt", "import_from", "import_name"):
            return False
        if parent.type == "annassign" and child is parent.children[1]:
            return False
        if parent.type == "tfpdef" and child is not parent.children[0]:
            return False
        if parent.type == "funcdef" and child is parent.annotation:
            return False
        if parent.type == "argument" and getattr(parent.children[0], "value", "") in ("strict", "kw_only", "slots"):
            return False
        child, parent = parent, parent.parent
    return True
