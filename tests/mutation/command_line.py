"""``python -m tests.mutation``: sample, run, remember, write the document."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import Queue
from typing import Any, Final

from tests.mutation.areas import AREAS, Part, part_of
from tests.mutation.operators import Mutation, sample
from tests.mutation.report import equivalents, write
from tests.mutation.trial import Copy

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = Path(__file__).with_name("results.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where fewer than 90 % are noticed or shown to change nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--area", action="append", choices=AREAS, help="only this one; may be repeated")
    parser.add_argument("--number", type=int, default=200, help="of mutations in all areas (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--defaults", action="store_true", help="every default and threshold, doubled and halved")
    parser.add_argument("--again", action="store_true", help="those that survived the last time")
    parser.add_argument("--jobs", type=int, default=2, help="side by side (default: 2)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the tables into this document")
    args = parser.parse_args(arguments)
    known: list[dict[str, Any]] = json.loads(args.results.read_text()) if args.results.exists() else []
    areas = args.area or [name for name in AREAS if (name == "defaults") == args.defaults]
    results: list[dict[str, Any]] = []
    if args.number:
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            copies = [Copy(ROOT, Path(folder, str(k))) for k in range(args.jobs)]
            root = copies[0].folder  # the checkout may change while this goes on
            if args.again:
                old = [r for r in known if r["area"] in areas and r["outcome"] in ("survived", "equivalent")]
                todo = [again for r in old for again in found_again(r, root)]
            else:
                todo = [m for name in areas for m in chosen(name, areas, args.number, args.seed, root)]
            for result in run(todo, copies):
                results.append(result)
                keep(args.results, merged(known, results, () if args.again else areas))
    everything = merged(known, results, () if args.again or not args.number else areas)
    share = write(everything, args.write)
    keep(args.results, everything)
    return 0 if share >= 0.9 else 1


def merged(
    known: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], areas: Sequence[str]
) -> list[dict[str, Any]]:
    """What was known, but for ``areas`` and for what has been tried once more, and what is new."""
    keys = {(r["module"], r["before"], r["after"]) for r in new}
    return [r for r in known if r["area"] not in areas and (r["module"], r["before"], r["after"]) not in keys] + list(
        new
    )


def keep(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """Write them after each: a sample takes an hour."""
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def chosen(name: str, areas: Sequence[str], number: int, seed: int, root: Path) -> list[Mutation]:
    """An equal part of the sample; of defaults all there are."""
    every = name == "defaults"
    files = sorted(set[Path]().union(*(part.files(root) for part in AREAS[name])))
    part = None if every else number // len(areas) + (areas.index(name) < number % len(areas))
    return sample(name, files, root, part, seed, "Scale" if every else "")


def found_again(result: dict[str, Any], root: Path) -> Iterable[Mutation]:
    """The same change, where its module still has it."""
    every = sample(result["area"], [root / result["module"]], root, None, 0, result["operator"])
    return [m for m in every if m.key == (result["module"], result["before"], result["after"])][:1]


def run(todo: Sequence[Mutation], copies: Sequence[Copy]) -> Iterator[dict[str, Any]]:
    """Every mutation, as many at a time as there are copies."""
    same, root = equivalents(), copies[0].folder
    free: Queue[Copy] = Queue()
    for copy in copies:
        free.put(copy)
    parts = {m.key: part_of(m.area, root, m.module) for m in todo if m.key not in same}
    limits: dict[Part, float] = {}
    for part in dict.fromkeys(parts.values()):
        outcome, seconds = copies[0].run(part, 1200)
        if outcome != "survived":
            raise SystemExit("\n".join(["the tests fail without any change:", *copies[0].said()]))
        limits[part] = 4 * seconds + 30
        print(f"{', '.join(part.tests)}: {seconds:.0f} s", file=sys.stderr, flush=True)

    def one(mutation: Mutation) -> dict[str, Any]:
        if mutation.key in same:
            return asdict(mutation) | {"outcome": "equivalent"}
        part, copy = parts[mutation.key], free.get()
        try:
            outcome, seconds = copy.trial(mutation, part, limits[part])
        finally:
            free.put(copy)
        m = mutation
        print(f"{outcome:9} {seconds:4.0f} s  {m.module}:{m.line}  {m.before}  ->  {m.after}", flush=True)
        return asdict(mutation) | {"outcome": outcome}

    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(one, todo)
