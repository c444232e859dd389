"""Live 3D human motion from ordinary cameras, with an honest statement of how sure it is.

    with stream.open_stream("left=0", "right=1", calibration="lab.toml") as live:
        for estimate in live: ...
    for estimate in stream.open_recording("takes/20260102T030405Z"): ...
    estimate = stream.Estimator()(image)

Everything here is for programs: nothing is printed and no signal is handled, the logger ``stream`` tells what a run has
to say, and what a user can mend is raised as a ``UserError`` of one line. Objects are used from one thread at a time.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stream.version import __version__

if TYPE_CHECKING:
    from calibration.errors import CalibrationError, UserError
    from calibration.formats import load_calibration, save_calibration
    from calibration.geometry.camera import Camera
    from calibration.types import Calibration
    from engines.detectors import DetectorOptions
    from engines.detectors import names as detectors
    from engines.detectors import register as register_detector
    from engines.skeleton import EDGES, JOINTS
    from engines.types import (
        Detection,
        Detector,
        DetectorSession,
        EngineError,
        ExtraJoints,
        ExtraPoints,
        Mixture,
        Pose,
        empty_detection,
    )
    from stream.api.estimator import Estimator
    from stream.api.keywords import Flags
    from stream.api.live import Stream, open_stream
    from stream.api.picture import Picture, draw
    from stream.api.recording import Recording, open_recording
    from stream.config import SourceConfig
    from stream.control import Control
    from stream.live.metrics import Summary
    from stream.recordings.run_info import CameraInfo, RunInfo
    from stream.sinks import Run, Sink, SinkOptions, flag
    from stream.sinks import register as register_sink
    from stream.sources import Source, SourceInfo, SourceStatus, list_cameras
    from stream.sources import register as register_source
    from stream.sources._sequence import SequenceSource, Shot
    from stream.types import (
        Estimate,
        Event,
        Frame,
        FrameReference,
        HypothesisTrack,
        Person,
        SinkStoppedError,
        StreamError,
        View,
    )

# A host program that wants to hear nothing hears nothing; one that wants to installs handlers of its own.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_PLACES = {
    "calibration.errors": ["CalibrationError", "UserError"],
    "calibration.formats": ["load_calibration", "save_calibration"],
    "calibration.geometry.camera": ["Camera"],
    "calibration.types": ["Calibration"],
    "engines.detectors": ["DetectorOptions", "names as detectors", "register as register_detector"],
    "engines.skeleton": ["EDGES", "JOINTS"],
    "engines.types": ["Detection", "Detector", "DetectorSession", "EngineError", "ExtraJoints", "ExtraPoints",
                      "Mixture", "Pose", "empty_detection"],
    "stream.api.estimator": ["Estimator"],
    "stream.api.keywords": ["Flags"],
    "stream.api.live": ["Stream", "open_stream"],
    "stream.api.picture": ["Picture", "draw"],
    "stream.api.recording": ["Recording", "open_recording"],
    "stream.config": ["SourceConfig"],
    "stream.control": ["Control"],
    "stream.live.metrics": ["Summary"],
    "stream.recordings.run_info": ["CameraInfo", "RunInfo"],
    "stream.sinks": ["Run", "Sink", "SinkOptions", "flag", "register as register_sink"],
    "stream.sources": ["Source", "SourceInfo", "SourceStatus", "list_cameras", "register as register_source"],
    "stream.sources._sequence": ["SequenceSource", "Shot"],
    "stream.types": ["Estimate", "Event", "Frame", "FrameReference", "HypothesisTrack", "Person", "SinkStoppedError",
                     "StreamError", "View"],
}  # fmt: skip
"""Where each name comes from. They are imported when they are used: ``import stream`` costs nothing, and the program,
which imports it first, can say in a line which library of the system is missing."""

__all__ = [
    "EDGES",
    "JOINTS",
    "Calibration",
    "CalibrationError",
    "Camera",
    "CameraInfo",
    "Control",
    "Detection",
    "Detector",
    "DetectorOptions",
    "DetectorSession",
    "EngineError",
    "Estimate",
    "Estimator",
    "Event",
    "ExtraJoints",
    "ExtraPoints",
    "Flags",
    "Frame",
    "FrameReference",
    "HypothesisTrack",
    "Mixture",
    "Person",
    "Picture",
    "Pose",
    "Recording",
    "Run",
    "RunInfo",
    "SequenceSource",
    "Shot",
    "Sink",
    "SinkOptions",
    "SinkStoppedError",
    "Source",
    "SourceConfig",
    "SourceInfo",
    "SourceStatus",
    "Stream",
    "StreamError",
    "Summary",
    "UserError",
    "View",
    "__version__",
    "detectors",
    "draw",
    "empty_detection",
    "flag",
    "list_cameras",
    "load_calibration",
    "open_recording",
    "open_stream",
    "register_detector",
    "register_sink",
    "register_source",
    "save_calibration",
]


def __getattr__(name: str) -> Any:
    """Import what is used for the first time.

    Raises:
        AttributeError: for a name that is not of this interface.
        ImportError: if something is missing, in one line that says how to get it.
    """
    for module, names in _PLACES.items():
        for text in names:
            its, _, ours = text.partition(" as ")
            if name != (ours or its):
                continue
            try:
                found = getattr(import_module(module), its)
            except ImportError as error:
                from stream.app.install_hint import hint, shadowed  # standard library only

                raise ImportError(f"{name}: {shadowed() or hint(error)}") from error
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is to complete."""
    return sorted({*globals(), *__all__})
