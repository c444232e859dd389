"""``python -m calibration``, command by command: what captures, shows and talks to a user."""
