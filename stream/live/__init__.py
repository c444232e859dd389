"""The threads and clocks of a run: matching, the estimator, tracks, the pipeline and its metrics."""
