"""The source of the pages, from docs/ and the files beside it: ``python docs/site/pages.py OUT``.

README, CONTRIBUTING, CHANGELOG and the examples become pages too. Links are carried along, those to code become its
name, and one that leads nowhere is an error.
"""

import ast
import posixpath
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the flags are those of this checkout
FROM_THE_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
MADE = ("docs/examples.md", "docs/flags.md")
ORDER = ("print_poses", "plot_hypotheses", "one_image", "record_and_read", "own_detector", "own_sink", "calibrate")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
BLOCK = re.compile(r"(^```.*?^```$|^ {4}[^\n]*$)", re.MULTILINE | re.DOTALL)
CONTENTS = {
    "Python": ["examples", "reference/use", "reference/types", "reference/plugins", "reference/calibration"],
    "Guides": [
        "calibration",
        "command-line",
        "flags",
        "sources",
        "capture",
        "recording",
        "export",
        "reliability",
        "scale",
    ],
    "How good, how fast": ["results", "detectors", "fusion", "people", "performance", "runtimes"],
    "Making it": ["architecture", "contributing", "decisions/README", "changelog"],
}


def main(out: Path) -> None:
    """Write the source."""
    shutil.rmtree(out, ignore_errors=True)
    pages = {page: (name, (ROOT / name).read_text()) for name, page in FROM_THE_ROOT.items()}
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT).as_posix()
        pages[name.removeprefix("docs/")] = (name, path.read_text())
    pages |= {"examples.md": ("docs/examples.md", examples()), "flags.md": ("docs/flags.md", flags())}
    titles = {page: text.partition("\n")[0].removeprefix("# ").split(":")[0] for page, (_, text) in pages.items()}
    for page, (name, text) in pages.items():
        target = out / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(carried(text, name, page, titles))
    with (out / "index.md").open("a") as index:
        index.write("\n".join(trees()))
    decisions = [path.stem for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]
    with (out / "decisions" / "README.md").open("a") as index:
        index.write("\n".join(tree("", decisions)))
    for path in (ROOT / "docs").rglob("*"):
        if path.suffix in (".png", ".jpg", ".css"):
            where = out / path.relative_to(ROOT / "docs" / ("site" if path.suffix == ".css" else ""))
            where.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, where)
    shutil.copy(ROOT / "docs" / "site" / "conf.py", out)


def trees() -> Iterator[str]:
    """What stands at the side of every page; one that nobody has put there is a guide."""
    placed = {page for pages in CONTENTS.values() for page in pages}
    others = [path.stem for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in placed]
    for caption, pages in CONTENTS.items():
        yield from tree(caption, [*pages, *(others if caption == "Guides" else [])])


def tree(caption: str, pages: list[str]) -> list[str]:
    """One part of it."""
    return ["", "```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages, "```", ""]


def carried(text: str, source: str, page: str, titles: Mapping[str, str]) -> str:
    """The text with its links pointing at the pages.

    Args:
        text: Markdown.
        source: the file that it is of, from the root of the repository.
        page: what it becomes.
        titles: of every page.
    """

    def carry(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if re.match(r"[a-z]+:|#", target):
            return link[0]
        path, _, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (ROOT / file).exists() and file not in MADE:
            sys.exit(f"{source}: the link to {target} leads nowhere")
        file = "docs/decisions/README.md" if file == "docs/decisions" else file
        inside = FROM_THE_ROOT.get(file, file.removeprefix("docs/") if file.startswith("docs/") else "")
        if not inside:
            return f"`{words.strip('`')}`"  # a file of the repository
        shown = posixpath.relpath(inside, posixpath.dirname(page) or ".")
        if words == target and inside in titles:
            words = titles[inside]  # GitHub shows the name of a file, a page its title
        return f"{picture}[{words}]({shown}{'#' + anchor if anchor else ''})"

    parts = BLOCK.split(text)
    return "".join(part if number % 2 else LINK.sub(carry, part) for number, part in enumerate(parts))


def examples() -> str:
    """Every example with what it prints and shows; ``make examples`` renews that."""
    lines = [
        "# Examples",
        "",
        "Each runs where nothing but the package is installed, on the demo's video (fetched once, 9 MB) unless a "
        "source is given. `make examples` made what is shown below each.",
    ]
    for name in ORDER:
        code = (ROOT / "examples" / f"{name}.py").read_text()
        first = (ast.get_docstring(ast.parse(code)) or name).splitlines()[0]
        title = re.split(r"[:.;] ?", first)[0]
        lines += [
            "",
            f"## {title}",
            "",
            "```python",
            f"# examples/{name}.py",
            code.rstrip(),
            "```",
            "",
            "It prints",
            "",
        ]
        lines += ["```text", shortened(ROOT / "docs" / "examples" / f"{name}.txt"), "```", ""]
        for picture in sorted((ROOT / "docs" / "examples").glob(f"{name}.[jp]*g")):
            lines += [f"![What {name}.py draws](examples/{picture.name})", ""]
    return "\n".join(lines)


def shortened(path: Path, most: int = 12) -> str:
    """A long output without its middle."""
    said = path.read_text().rstrip().splitlines()
    return "\n".join(said if len(said) <= most else [*said[: most // 2], "...", *said[-most // 2 :]])


def flags() -> str:
    """The flags of a run, as the program lists them."""
    from stream.app.flags import parser

    made = parser()
    made.prog = "hypothesis-stream"
    return (
        "# Flags\n\nOf `hypothesis-stream`, which is `run_stream.py` of a checkout; in Python each is a keyword of "
        "[open_stream](reference/use.md), with `_` for `-`.\n\n"
        f"```text\n{made.format_help().rstrip()}\n```\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
