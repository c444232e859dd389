"""The tables of docs/mutation.md."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.mutation.areas import AREAS

EQUIVALENT: Final = Path(__file__).with_name("equivalent.toml")
MARKS: Final = ("<!-- mutations -->", "<!-- /mutations -->")


def equivalents() -> dict[tuple[str, str, str], str]:
    """(module, line before, line after) -> why no test could notice."""
    if not EQUIVALENT.exists():
        return {}
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("same", [])
    return {(e["module"], e["before"], e["after"]): e["why"] for e in entries}


def write(results: Sequence[dict[str, Any]], path: Path | None) -> float:
    """Print the verdict, put the tables into a document, and give the share that is noticed or changes nothing."""
    same = equivalents()
    for r in results:
        if r["outcome"] in ("survived", "equivalent"):
            r["outcome"] = "equivalent" if (r["module"], r["before"], r["after"]) in same else "survived"
    lines = ["| area | modules | changed | noticed | same | not noticed |", "|---|---|---|---|---|---|"]
    total = [0, 0, 0]
    for name, parts in AREAS.items():
        outcomes = [r["outcome"] for r in results if r["area"] == name]
        count = [len(outcomes), outcomes.count("equivalent"), outcomes.count("survived")]
        if outcomes:
            noticed = count[0] - count[1] - count[2]
            modules = ", ".join(f"`{glob}`" for part in parts for glob in part.modules)
            lines.append(f"| {name} | {modules} | {count[0]} | {noticed} | {count[1]} | {count[2]} |")
            total = [a + b for a, b in zip(total, count, strict=True)]
    share = 1 - total[2] / max(1, total[0])
    lines.append(f"| **all** | | {total[0]} | {total[0] - total[1] - total[2]} | {total[1]} | {total[2]} |")
    verdict = f"{total[0]} changes: {100 * share:.0f} % noticed or shown to change nothing, {total[2]} not noticed"
    print(verdict)
    if path is not None:
        for title, outcome in (("Not noticed", "survived"), ("Shown to change nothing", "equivalent")):
            rows = [_row(r, same) for r in results if r["outcome"] == outcome]
            if rows:
                lines += ["", f"## {title}", "", "| where | from | to | why |", "|---|---|---|---|", *rows]
        text = path.read_text(encoding="utf-8")
        head, tail = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
        path.write_text("\n".join([head + MARKS[0], verdict + ".", "", *lines, MARKS[1] + tail]), encoding="utf-8")
    return share


def _row(r: dict[str, Any], same: dict[tuple[str, str, str], str]) -> str:
    cells = (f"{r['module']}:{r['line']}", r["before"], r["after"])
    why = same.get((r["module"], r["before"], r["after"]), "")
    return "| " + " | ".join(f"`{c}`".replace("|", "\\|") for c in cells) + f" | {why} |"
