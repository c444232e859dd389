"""``python -m tests.mutation``: sample, run, remember, write the document."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
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
    if args.again:
        todo = [again for r in known if r["area"] in areas and r["outcome"] == "survived" for again in found_again(r)]
    else:
        todo = [m for name in areas for m in chosen(name, areas, args.number, args.seed)]
    results = run(todo, args.jobs) if todo and args.number else []
    keys = {(r["module"], r["before"], r["after"]) for r in results}
    kept = [r for r in known if (r["module"], r["before"], r["after"]) not in keys]
    if not args.again:
        kept = [r for r in kept if r["area"] not in areas or not args.number]
    everything = [*kept, *results]
    args.results.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    share = write(everything, args.write)
    return 0 if share >= 0.9 else 1


def chosen(name: str, areas: Sequence[str], number: int, seed: int) -> list[Mutation]:
    """An equal part of the sample; of defaults all there are."""
    every = name == "defaults"
    files = sorted(set().union(*(part.files(ROOT) for part in AREAS[name])))
    part = None if every else number // len(areas) + (areas.index(name) < number % len(areas))
    return sample(name, files, ROOT, part, seed, "Scale" if every else "")


def found_again(result: dict[str, Any]) -> Iterable[Mutation]:
    """The same change, where its module still has it."""
    files = [ROOT / result["module"]]
    every = sample(result["area"], files, ROOT, None, 0, result["operator"])
    return [m for m in every if m.key == (result["module"], result["before"], result["after"])][:1]


def run(todo: Sequence[Mutation], jobs: int) -> list[dict[str, Any]]:
    """Every mutation, ``jobs`` at a time."""
    same = equivalents()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copies: Queue[Copy] = Queue()
        for k in range(jobs):
            copies.put(Copy(ROOT, Path(folder, str(k))))
        parts = {m.key: part_of(m.area, ROOT, m.module) for m in todo if m.key not in same}
        limits: dict[Part, float] = {}
        for part in dict.fromkeys(parts.values()):
            copy = copies.get()
            outcome, seconds = copy.run(part, 1200)
            if outcome != "survived":
                raise SystemExit("\n".join(["the tests fail without any change:", *copy.said()]))
            limits[part] = 4 * seconds + 30
            print(f"{', '.join(part.tests)}: {seconds:.0f} s", file=sys.stderr, flush=True)
            copies.put(copy)

        def one(mutation: Mutation) -> dict[str, Any]:
            if mutation.key in same:
                return asdict(mutation) | {"outcome": "equivalent"}
            part, copy = parts[mutation.key], copies.get()
            try:
                outcome, seconds = copy.trial(mutation, part, limits[part])
            finally:
                copies.put(copy)
            m = mutation
            print(f"{outcome:9} {seconds:4.0f} s  {m.module}:{m.line}  {m.before}  ->  {m.after}", flush=True)
            return asdict(mutation) | {"outcome": outcome}

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, todo))
