"""What ``python -m calibration`` does, command by command. A composition root: it may import all packages."""
