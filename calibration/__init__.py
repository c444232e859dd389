"""Geometry, the leaf package: cameras, virtual cameras, triangulation, boards and file formats."""

import logging

# A host program that wants to hear nothing hears nothing; one that wants to installs handlers of its own.
logging.getLogger(__name__).addHandler(logging.NullHandler())
