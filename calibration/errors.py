"""What this project tells its user when something is wrong: one line, what it is and what to do."""

from calibration.addresses import scrub


class UserError(Exception):
    """A mistake or a fault that the user can mend. Shown as one line, without a traceback.

    Whatever address the line quotes, it holds no password: see ``calibration.addresses``.
    """

    def __init__(self, line: str) -> None:
        super().__init__(scrub(line))


class CalibrationError(UserError):
    """A camera, a calibration or its file that cannot be right."""
