"""Every default and threshold of a run, once. ``run_stream.py`` turns its flags into a Config and nothing else."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from calibration.addresses import redact
from calibration.types import Calibration
from engines.detectors.fallback import FallbackOptions
from engines.fusion import FusionOptions
from engines.identity import IdentityOptions
from engines.runtimes import NetworkOptions
from engines.top_down import TopDownOptions
from stream.selection import Selection


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
    system_clock: bool = False
    """Of a camera of another computer: rely on the clocks of the systems where PTP or NTP keeps them right."""
    speed: float = 1.0
    """How many times slower than life a file plays: true seconds are its own divided by this."""
    rotate: int | None = None
    """Degrees clockwise by which every image is turned, after the mark of the file; 0, 90, 180 or 270. None where the
    user says nothing."""
    times: tuple[float | None, ...] | None = field(default=None, repr=False)
    """Seconds of each frame of a file, in place of its own; None in it for one that has none."""
    controls: tuple[tuple[str, str], ...] = ()
    """Names and values of controls of a local camera, such as ("exposure", "157"), in the order to set them in."""
    stall_s: float = 3.0
    """A live source whose last new frame is older is stalled: it is closed and opened again."""
    retry_s: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0)
    """Back-off between attempts to open a live source again; the last one repeats."""
    open_s: float = 8.0
    """A network source that gives no image within this time is not there; of a web server what it gives instead is
    found out in it, too."""

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
    min_px: float = 24.0
    """Nor is one whose limb joints' box is smaller: somebody 30 px tall, whose joints are a guess."""
    threads: int | None = None
    """Of a detector's networks; None: the cores shared by the cameras, at most ``most_threads``."""
    most_threads: int = 4
    """Beyond them the small networks here do not gain."""
    assumed_fps: float = 30.0
    """Rate of a live camera that does not say its own, where it decides whether a detector keeps up."""


@dataclass(frozen=True, slots=True)
class PeopleConfig:
    """Who is followed."""

    number: int | None = None
    """How many people; 1: today's one followed person, and the fastest; None: all."""
    most: int = 6
    """Of all, no more than so many are followed at a time in one camera: each costs a detection and a lift."""
    select: Selection = field(default_factory=Selection)
    """Whom an estimate shows of those who are followed."""

    @property
    def limit(self) -> int:
        """People who are followed at a time."""
        return self.most if self.number is None else min(self.number, self.most)


@dataclass(frozen=True, slots=True)
class LiftConfig:
    """Lifting and tracks."""

    weights: Path | None = None
    """ONNX file of the lifter with its card beside it; None for the one that is shipped."""
    temporal: str = "off"
    """"on": hypotheses are made steadier by the frames before, see ``engines.temporal``; "off"; or the ONNX file of a
    temporal lifter that was made for the lifter, with its card beside it."""
    fov_degrees: float = 60.0
    """Field of view along the long side where there is no calibration; recorded as assumed."""


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """Where the results go."""

    view: str = "auto"
    """"auto", "none" or the name of a viewer."""
    sinks: tuple[object, ...] = ()
    """The ``Options`` of the sinks there may be (``stream.sinks``), which hold their defaults; empty: no output."""
    hypotheses: bool = False
    """Whether live outputs carry all hypotheses, and not only the answer."""
    viewpoint: tuple[float, ...] = ()
    """Degrees to the right and up from which pictures are seen at first, and how large; empty: the usual ones."""
    mirror: bool = False
    """Whether left and right are exchanged in pictures, as in a mirror."""
    hold: bool = False
    """Whether the window keeps the last picture of files."""
    record_buffer_s: float = 10.0
    """A live recorder that falls this far behind loses frame sets, which is counted and said."""


@dataclass(frozen=True, slots=True)
class StartConfig:
    """When a run of live cameras begins to keep what it sees, and for how long."""

    start_at: datetime | None = None
    """Time of day, with its zone; None: as soon as every camera gives images."""
    countdown: int = 0
    """Seconds that are counted down before the start."""
    seconds: float | None = None
    """How long; None: until it is stopped."""


@dataclass(frozen=True, slots=True)
class CaptureConfig:
    """``--capture``: every frame to disk."""

    folder: Path
    """Every take gets a folder in it."""
    live: bool = False
    """Also estimate what the machine manages."""
    codec: str = "h264"
    """What images are coded with that a camera does not code: "mjpeg", "h264" or "ffv1"."""
    start: StartConfig = field(default_factory=StartConfig)
    warn_minutes: float = 10.0
    """With less room than this left it is said."""
    least_s: float = 60.0
    """A folder with room for fewer seconds is refused."""
    reserve_bytes: int = 256 << 20
    """So much of the disk is left free: it ends before."""
    probe_s: float = 1.0
    """The cameras are looked at for so long, to know how much they send."""
    directed: bool = False
    """A take is begun and ended each time that is asked for, and not with the run."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraSetupConfig:
    """Several cameras: where they stand, how they are matched and fused."""

    calibration: Path | Calibration | None = None
    """The calibration, or its file in any format that ``python -m calibration convert`` reads."""
    up: tuple[float, float, float] | None = None
    """Unit vector against gravity in the calibration's world, where its file does not say."""
    letterbox: tuple[str, ...] = ()
    """``[NAME=]SCALE,DX,DY`` or ``[NAME=]fit``: how the calibrated picture lies in frames of another shape."""
    fusion: str = "auto"
    """"hypotheses", "map", "triangulate" or "auto"."""
    sync_offset: tuple[str, ...] = ()
    """``NAME=SECONDS``, added to that camera's times."""
    bind: str = "auto"
    """"order": cameras without a name are those of the calibration in their order; "auto": by what is known of them."""
    sync_delay: int = 0
    """1: live, too, 2D joints are interpolated to the frame set's time."""


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """How frames are matched."""

    tolerance_s: float | None = None
    """A frame further than this from the target time is left out; None: half a frame of its camera."""
    stale_frames: float = 2.0
    """A live camera whose newest frame is older than this many of its frames ..."""
    stale_s: float = 0.1
    """... and than this, is left out of the frame set, and not waited for."""
    interpolate: bool = True
    """Take the first frame at or after the target time where 2D joints can be interpolated to it."""
    fps: float | None = None
    """Frame sets a second of files; None: one a frame of the fastest camera."""
    overlap: bool = True
    """Refuse files of which one has no time in common with any other."""
    max_interpolated_s: float = 0.1
    """2D joints are interpolated only between frames this near to each other: a joint's path over 0.1 s is no line."""
    history: int = 8
    """Frames kept of a live camera beside those it is ahead by: enough for the slowest pair that still counts as
    matched."""
    live_span_s: float = 5.0
    """Seconds that the times of live cameras can be moved apart: 180 MB of full HD images wait for each of them."""


@dataclass(frozen=True, slots=True)
class TrackConfig:
    """Chosen on the validation subjects (``benchmarks/tracks.py``)."""

    evidence: float = 0.6
    """Exponent on the mixing coefficients: those of two frames 33 ms apart are far from independent."""
    still_mm: float = 75.0
    """Root mean square joint distance that a hypothesis is expected to move or flicker in no time at all."""
    speed_mm_s: float = 600.0
    """The same, growing with the time between two frames."""
    jump: float = 1e-3
    """Probability of a jump between any two hypotheses; keeps one wrong belief from lasting for ever."""
    new_mm: float = 400.0
    """A kernel further than this from every track of the frame before is a new track."""
    cut_mm: float = 150.0
    """An answer that passes to another track jumps if that is further than this, and else glides."""
    gap_s: float = 0.5
    """After a longer gap nothing is known of what came before."""
    min_cutoff_hz: float = 1.5
    """One Euro filter: cut-off of a still joint."""
    beta: float = 0.006
    """One Euro filter: how fast the cut-off rises with speed, Hz per mm/s."""
    root_acceleration_mm_s2: float = 3000.0
    """Of a person's pelvis, one standard deviation an axis: how quickly the filter of the root lets it turn."""
    root_speed_mm_s: float = 1500.0
    """The same of its speed when a person is first seen."""
    derivative_hz: float = 1.0
    """One Euro filter: cut-off of the speed itself."""
    alike_mm: float = 60.0
    """Where the frames before make hypotheses better: about so far (root mean square joint distance) from the most
    probable one they say the same, and the answer is their average; 0: none."""
    settle_frames: float = 2.5
    """The same: how many frames, as far apart as they usually are, the answer's filter takes to believe a pose, ..."""
    settle_s: float = 0.085
    """... and how long at most: people do not wait for slow cameras."""


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """A whole run. What is of ``engines`` is handed to it whole, once."""

    sources: tuple[SourceConfig, ...]
    detect: DetectConfig = field(default_factory=DetectConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    lift: LiftConfig = field(default_factory=LiftConfig)
    network: NetworkOptions = NetworkOptions(precision="auto")
    """What executes the networks. Of the threads a detector gets its own share, see ``DetectConfig``."""
    setup: CameraSetupConfig = field(default_factory=CameraSetupConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    tracks: TrackConfig = field(default_factory=TrackConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    top_down: TopDownOptions = field(default_factory=TopDownOptions)
    fallback: FallbackOptions = field(default_factory=FallbackOptions)
    capture: CaptureConfig | None = None
    start: StartConfig | None = None
    """Of live cameras whose estimates are recorded; that of a capture is ``CaptureConfig.start``."""
