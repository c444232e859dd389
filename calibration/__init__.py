"""Geometry, the leaf package: cameras, virtual cameras, triangulation, boards and file formats."""
