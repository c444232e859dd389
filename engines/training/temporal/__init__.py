"""The training of the lifter of several frames."""
