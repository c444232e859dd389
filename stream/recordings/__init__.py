"""Takes on disk: their schema, segments, writers, readers and exports."""
