"""``python -m calibration``: the steps of calibration. The package itself is geometry."""

import sys

from calibration.programs import calibrate as main

if __name__ == "__main__":
    sys.exit(main())
