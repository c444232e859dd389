"""See the package."""

import sys

from tests.mutation.command_line import main

if __name__ == "__main__":
    sys.exit(main())
