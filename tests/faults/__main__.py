"""The table of faults as a document: what was injected, what happens, and which test holds it.

python -m tests.faults                                  # how many there are
python -m tests.faults --write docs/reliability.md      # between its marks; the rest of the document stays
"""

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from benchmarks import endure
from benchmarks.table import table
from calibration.errors import UserError
from calibration.writing import write_text
from engines.argument_types import Parser
from stream.app.console import shown
from tests.faults.fault import Row, rows, told

TESTS: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = TESTS.parent / "docs" / "reliability.md"
RESULT: Final = TESTS.parent / "benchmarks" / "results" / "endure.json"
MARKS: Final = {name: (f"<!-- {name} -->", f"<!-- /{name} -->") for name in ("faults", "endure")}
"""What is generated stands between these."""
LONG: Final = 90
"""Characters of a cell; a name of 5,000 is one of the faults."""


def modules() -> Iterator[ModuleType]:
    """The modules of tests that put some into the table: those of this folder first."""
    here = sorted(Path(__file__).parent.glob("test_*.py"))
    for path in (*here, *sorted(TESTS.glob("test_*.py"))):
        if path in here or "from tests.faults.fault import" in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
            yield importlib.import_module(name)


def tests_of(module: ModuleType) -> list[Callable[..., None]]:
    """Its tests, in their order."""
    return [
        value
        for name, value in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(value) and value.__module__ == module.__name__
    ]


def sections() -> Iterator[tuple[ModuleType, dict[Row, int]]]:
    """Every module that has rows, with them."""
    for module in modules():
        found = {one: count for test in tests_of(module) if told(test) for one, count in rows(test).items()}
        if found:
            yield module, found


def cell(text: str) -> str:
    """One line of a table, whatever the text is."""
    text = shown(text)
    return (text if len(text) <= LONG else f"{text[:LONG]} ... ({len(text)} characters)").replace("|", "\\|")


def faults() -> str:
    """The table, a part a module."""
    parts, every, lines = [], 0, 0
    for module, found in sections():
        every += sum(found.values())
        lines += len(found)
        name = Path(str(module.__file__)).relative_to(TESTS.parent).as_posix()
        head = (module.__doc__ or "").strip().splitlines()[0].partition(" A row a fault")[0].removesuffix(".")
        cells = [
            (
                cell(one.fault),
                "killed" if one.code < 0 else str(one.code),
                cell(one.words),
                cell(one.intact),
                one.test.removeprefix("test_"),
            )
            for one in found
        ]
        parts.append(f"### {head}\n\n`{name}`\n\n" + table(("injected", "exit", "said", "left whole", "test_"), cells))
    run = sum(one.process for _, found in sections() for one in found)
    first = (
        f"{lines} faults in {every} cases (a fault of a file is tried in every format and by every command that it "
        f"concerns); {run} of them are tried through the command line, the others in the process of the tests."
    )
    return "\n\n".join([first, *parts])


def endured() -> str:
    """The kept result of the run under continuous faults."""
    if not RESULT.exists():
        return "Not run yet."
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    return endure.conditions(result) + "\n\n" + endure.report(result)


def document(text: str) -> str:
    """A document with what is generated put in anew.

    Raises:
        UserError: if a place for it is missing.
    """
    for name, make in (("faults", faults), ("endure", endured)):
        begin, end = MARKS[name]
        head, opened, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (opened and closed):
            raise UserError(f"there is no place for {name}: write {begin} and {end} into it")
        text = f"{head}{begin}\n{make()}\n{end}{tail}"
    return text


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="the document, which has the marks")
    args = parser.parse_args(arguments)
    try:
        if args.write:
            write_text(args.write, document(args.write.read_text(encoding="utf-8")))
    except (UserError, OSError) as error:
        print(f"tests.faults: {error}", file=sys.stderr)
        return 2
    print(faults().splitlines()[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
