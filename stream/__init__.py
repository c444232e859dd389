"""Threads and clocks: sources, synchronisation, the estimator, tracks, sinks and recordings."""

import logging

# A host program that wants to hear nothing hears nothing; one that wants to installs handlers of its own.
logging.getLogger(__name__).addHandler(logging.NullHandler())
