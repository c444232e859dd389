"""Measurements: ratios side by side in one run, never absolute figures, never part of the tests."""
