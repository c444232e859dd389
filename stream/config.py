"""Every default and threshold of a run, once. ``run_stream.py`` turns its flags into a Config and nothing else."""

from dataclasses import dataclass, field
from pathlib import Path

from calibration.addresses import redact


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One ``--camera``."""

    source: str = field(repr=False)
    """Index, device path, file, URL or folder of images, as the user gave it: it may hold a password, so show and
    record ``shown`` and never this."""
    name: str
    """Name of the camera."""
    given: str = field(default="", repr=False)
    """The text that named the source where that is another, as ``env:VARIABLE``; else empty."""
    named: bool = True
    """Whether the user gave it that name, which then decides how it is calibrated; otherwise it is made up."""
    size: tuple[int, int] | None = None
    """Requested width and height of a local camera, pixels."""
    fps: float | None = None
    """Requested rate of a local camera; the rate of an image folder (30 when None) and of a file without times."""
    realtime: bool = False
    """Play a file at its own pace, as if it were live, instead of at the pace of processing."""
    stall_s: float = 3.0
    """A live source whose last new frame is older is stalled: it is closed and opened again."""
    retry_s: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0)
    """Back-off between attempts to open a live source again; the last one repeats."""
    open_s: float = 5.0
    """A network source that needs longer to answer is not there."""

    @property
    def shown(self) -> str:
        """What may be shown of the source: what messages, logs and recordings say."""
        return redact(self.source)


@dataclass(frozen=True, slots=True)
class DetectConfig:
    """2D detection."""

    names: tuple[str, ...] = ("auto",)
    """The fallback order, or ("auto",)."""
    min_score: float = 0.2
    """A joint below this score counts as not seen by the lifter."""
    min_joints: int = 6
    """A person with fewer seen limb joints is not lifted."""


@dataclass(frozen=True, slots=True)
class LiftConfig:
    """Lifting and tracks."""

    weights: Path | None = None
    """ONNX file of the lifter with its card beside it; None for the one that is shipped."""
    fov_degrees: float = 60.0
    """Field of view along the long side where there is no calibration; recorded as assumed."""


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """Where the results go."""

    view: str = "auto"
    """"auto", "none" or the name of a viewer."""
    sinks: tuple[object, ...] = ()
    """The ``Options`` of the sinks there may be (``stream.sinks``), which hold their defaults; empty: no output."""
    record_buffer_s: float = 10.0
    """A live recorder that falls this far behind loses frame sets, which is counted and said."""


@dataclass(frozen=True, slots=True)
class CameraSetupConfig:
    """Several cameras: where they stand, how they are matched and fused."""

    calibration: Path | None = None
    """File of the calibration, in any format that ``python -m calibration convert`` reads."""
    up: tuple[float, float, float] | None = None
    """Unit vector against gravity in the calibration's world, where its file does not say."""
    letterbox: tuple[str, ...] = ()
    """``[NAME=]SCALE,DX,DY`` or ``[NAME=]fit``: how the calibrated picture lies in frames of another shape."""
    fusion: str = "auto"
    """"hypotheses", "map", "triangulate" or "auto"."""
    sync_offset: tuple[str, ...] = ()
    """``NAME=SECONDS``, added to that camera's times."""
    sync_delay: int = 0
    """1: live, too, 2D joints are interpolated to the frame set's time."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What executes the networks, the lifter's and the detectors'."""

    runtime: str = "auto"
    """Name of the runtime, or "auto"."""
    precision: str = "auto"
    """"fp32", "int8" or "auto"."""


@dataclass(frozen=True, slots=True)
class Config:
    """A whole run."""

    sources: tuple[SourceConfig, ...]
    detect: DetectConfig = field(default_factory=DetectConfig)
    lift: LiftConfig = field(default_factory=LiftConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    setup: CameraSetupConfig = field(default_factory=CameraSetupConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
