"""The former name of ``python -m stream export``, which old scripts may call."""

import sys

from stream.app.export import main

if __name__ == "__main__":
    sys.exit(main())
