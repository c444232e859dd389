"""OpenVINO on Intel's graphics, a runtime of its own so that it is measured against the CPU like any other."""

import sys
from pathlib import Path
from typing import Final

from engines.runtimes import openvino

ACCELERATOR: Final = False
INSTALL: Final = openvino.INSTALL
PRECISIONS: Final = ("fp32", "fp16", "int8")

available = openvino.available
version = openvino.version


def obstacle() -> str | None:
    """No graphics device on Linux. That it is not Intel's, and on Windows that there is none, is found when loading."""
    if sys.platform == "linux" and not any(Path("/dev/dri").glob("renderD*")):
        return "no graphics device"
    return None


def load(path: Path, sha256: str, threads: int, precision: str) -> openvino.OpenVinoRuntime:
    """Compile an ONNX file for the GPU; see OpenVinoRuntime."""
    return openvino.OpenVinoRuntime(path, sha256, threads, precision, "GPU")
