"""Cameras, virtual cameras, rotations and triangulation: geometry without a solver."""
