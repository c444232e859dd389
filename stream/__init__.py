"""Threads and clocks: sources, synchronisation, the estimator, tracks, sinks and recordings."""
