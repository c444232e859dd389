"""Starts ``stream.app.calibrate``, which captures and talks to the user; the package itself is geometry."""

import sys

from stream.app.calibrate.command_line import main

if __name__ == "__main__":
    sys.exit(main())
