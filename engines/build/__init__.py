"""From checkpoints to the files that run: torch -> ONNX -> int8, each checked on real inputs before it is kept."""
