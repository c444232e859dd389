"""How good the lifter and the detectors are: metrics, tables, plots and the commands that print them."""
