"""The commands that read a take, run on one in the process of the tests."""

from pathlib import Path

from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.app.replay import main as list_take


def run(tool: str, take: Path, tmp_path: Path) -> int:
    if tool == "recover":
        return recover([str(take)])
    if tool == "replay":
        return list_take([str(take)])
    return export([str(take), "--to", "csv", "--out", str(tmp_path / "out.csv"), "--force"])
