"""A detector, a source and a sink for hypothesis-stream, a file each."""
