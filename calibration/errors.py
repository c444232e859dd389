"""What this project tells its user when something is wrong: one line, what it is and what to do."""


class UserError(Exception):
    """A mistake or a fault that the user can mend. Shown as one line, without a traceback."""


class CalibrationError(UserError):
    """A camera, a calibration or its file that cannot be right."""
