"""Every threshold of refinement."""

from dataclasses import dataclass

from engines.fusion.options import FusionOptions


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """What decides how a recorded sequence is refined. Chosen on the validation subjects (``benchmarks/refine.py``)."""

    fusion: FusionOptions = FusionOptions()
    """Reprojection and mixtures of each moment are those of live fusion."""
    evidence_s: float = 0.055
    """The mixing coefficients of frames nearer in time than this are no independent evidence."""
    still_mm: float = 75.0
    """Root mean square joint distance that a hypothesis is expected to move or flicker in no time at all."""
    speed_mm_s: float = 600.0
    """The same, growing with the time between two frames."""
    jump: float = 1e-3
    """Probability of a jump between any two hypotheses."""
    mixture_s: float = 0.05
    """The mixtures of frames nearer in time than this say the same, also where they are wrong."""
    doubt_s: float = 3.0
    """For the covariance the mixtures of frames nearer in time than this are one: a lifter is wrong for as long as a
    pose lasts."""
    doubt_seen_s: float = 0.035
    """The same of the 2D joints, where several cameras see the person."""
    doubt_alone_s: float = 0.075
    """The same where one does: what it says of depth is an error of the lifter's too."""
    doubt_bones: float = 0.01
    """For the covariance the squared precision of the bones times this: their lengths are estimates."""
    acceleration: float = 5500.0
    """Standard deviation of a joint's acceleration, mm/s2, an axis, thirty times a second."""
    acceleration_degrees: float = 3.0
    """Degrees of freedom of that: people stand for long and then jump."""
    limb_mm: float = 6.0
    """Standard deviation of the length of a limb's bone over time."""
    trunk_mm: float = 15.0
    """The same of hips, spine, neck, head and shoulders, which are no single bones."""
    fill_s: float = 1.0
    """A joint, or a person, not seen for longer than this is not filled in."""
    contact_mm_s: float = 300.0
    """A foot that is slower than this and near the floor stands on it."""
    contact_height_mm: float = 60.0
    """How far above where it stands a foot may be."""
    contact_drift_mm_s: float = 15.0
    """Standard deviation of the speed of a foot that stands, an axis."""
    rounds: int = 12
    """Gauss-Newton steps at most."""
    still_step_mm: float = 0.5
    """Steps that move no joint by more in the root mean square are the last."""
    at_once: int = 3000
    """Moments that are solved together: more are cut into parts that overlap."""
    overlap: int = 90
    """Moments that two parts share."""
