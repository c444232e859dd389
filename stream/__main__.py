"""``python -m stream``: export, replay, inspect and recover takes."""

import sys

from stream.app.program import verb

if __name__ == "__main__":
    sys.exit(verb())
