"""``python -m stream``: export, replay and recover takes."""

import sys

from stream.app.verbs import main

if __name__ == "__main__":
    sys.exit(main())
