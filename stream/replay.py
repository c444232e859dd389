"""The former name of ``python -m stream replay``, which old scripts may call."""

import sys

from stream.app.program import verb

if __name__ == "__main__":
    sys.exit(verb("replay"))
