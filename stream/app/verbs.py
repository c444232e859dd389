"""``python -m stream VERB``: what is done with takes after a run."""

import importlib
import sys
from collections.abc import Sequence
from typing import Final

from calibration.addresses import scrub
from engines.argument_types import MISTAKE
from stream.app.console import guarded
from stream.app.signals import leave_on_interrupt

VERBS: Final = {
    "export": "a take for other programs: tables, markers, skeletons, angles, 2D joints",
    "opensim": "a take in OpenSim: a model scaled to each person, and its joint angles",
    "replay": "a take, a line a frame set",
    "inspect": "what is made of a video, a camera or a take, without running anything",
    "refine": "the best of a whole take: smooth, with constant bones, gaps filled in, cameras corrected",
    "gather": "the takes of several computers as one, on one clock",
    "report": "a take as one page: cameras and their health, people, bones, pictures",
    "recover": "what of a take is readable, and a clean copy",
}
"""Each is a module of ``stream.app`` with a ``main``; it is imported when it is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        Its exit code; 2 for an unknown one.
    """
    verb, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if verb in ("-h", "--help"):
        print("usage: python -m stream VERB ... (VERB --help says more)\n")
        print("\n".join(f"  {name:10} {text}" for name, text in VERBS.items()))
        return 0
    if verb not in VERBS:
        # It may be an address that was meant for a flag.
        print(f"stream: unknown verb {scrub(verb, [verb])!r}; there are {', '.join(VERBS)}", file=sys.stderr)
        return MISTAKE
    return guarded(f"stream {verb}", lambda: _run(verb, rest))


def _run(verb: str, arguments: list[str]) -> int:
    with leave_on_interrupt(f"stream {verb}"):
        module = importlib.import_module(f"stream.app.{verb}")
    return module.main(arguments)
