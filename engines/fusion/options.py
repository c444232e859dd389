"""Every threshold of fusion."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """What decides how views are fused. The parameters of ``map`` were chosen on the validation subjects; all are flat
    within a factor of about 1.5.
    """

    min_joints: int = 2
    """A view with fewer seen joints says too little to be called one."""
    gap_s: float = 0.5
    """After a longer gap the last pose is no start for the next."""
    agrees: float = 3.0
    """A view agrees with a pose when its typical joint is within so many standard deviations."""
    contradicts: float = 8.0
    """A view contradicts a pose when its typical joint is so many standard deviations from where the pose puts it, the
    detection's and the pose's: the good views of the four-camera demo, whose calibration is off by 20 to 30 px, reach
    6.9; those of other people 28 and more."""
    contradicts_pair: float = 6.0
    """The same where two views made the pose, which comes half of the way to meet each."""
    contradicts_lifted: float = 4.5
    """The same of two views alone, whose rays may meet by chance: root mean square of the limb joints from the nearest
    hypothesis, in its own standard deviations."""
    pose_mm: float = 60.0
    """What a joint that no ray fixes is known to, by the hypotheses."""
    two_views: float = 1.2
    """``map`` of two views: its covariance times this. It takes their outliers for what they are less often than it
    thinks (validation subjects)."""
    pair_sure: float = 0.5
    """A pose of two views alone that lies nearer to them, root mean square of their typical joints in standard
    deviations, is as good as its covariance says (nine tenths of right pairs of the validation subjects) ..."""
    pair_doubted: float = 0.8
    """... and further away than this a view is wrong (none of them was), to which it came half of the way ..."""
    pair_grows: float = 30.0
    """... and its covariance is multiplied by this, in between by as much less; median of such poses."""
    pair_wrong: tuple[float, float] = (1.5, 3.0)
    """Beyond the first of these a calibration that is off by 25 px, as the four-camera demo's, hardly explains how far
    a pose of two views lies off them; from the second on a view is surely wrong ..."""
    pair_lifted: tuple[float, float] = (2.5, 3.5)
    """... and so it is where the pose lies so far from what was lifted of a view, as of ``contradicts_lifted`` (of
    right pairs of the validation subjects one in fifty is beyond the first) ..."""
    pair_grows_more: float = 10.0
    """... and the covariance is multiplied by this again."""
    disputed: float = 0.6
    """Where no two views agree, the variance of a joint over all axes grows by this times the square of how far apart
    their answers are (validation subjects)."""
    least_root_mm: float = 10.0
    """Standard deviation that is added to a root of few joints that happen to agree."""
    noise_size: float = 0.005
    """``triangulate``: one standard deviation of a joint, as a share of the person's size in pixels: 1 % of noise."""
    distance: float = 0.05
    """One view alone: its distance is as uncertain as the size of the body, one standard deviation as a share of it."""
    noise_mm: float = 9.5
    """``map``: standard deviation of a joint of ``good_score`` at the person's distance: 1 % of a person's size."""
    good_score: float = 0.8
    """See ``noise_mm``."""
    cov_trust: float = 0.5
    """Power of the ratios of covariances that is believed; of 1 the four-camera recording jitters more than of none."""
    cov_most: float = 16.0
    """Largest ratio of variances that is believed."""
    degrees: float = 3.0
    """Degrees of freedom of the reprojection's Student-t."""
    far: float = 0.1
    """Share of joints that are simply wrong."""
    far_width: float = 14.0
    """Their spread, in standard deviations of a good joint."""
    mixture_degrees: float = 8.0
    """Degrees of freedom of the mixtures'."""
    chain: float = 0.5
    """Correlation of a joint's error with its parent's, both in their sigmas."""
    spread: float = 1.25
    """The sigmas are fitted for the whole mixture; in ``map`` its kernel is as good as known."""
    scale: float = 0.08
    """Standard deviation of the log-scale of the body."""
    symmetry_mm: float = 12.0
    """Right and left limbs differ by this."""
    symmetry_degrees: float = 4.0
    """Degrees of freedom of that."""
    steps: int = 10
    """Gauss-Newton steps at most."""
    least_steps: int = 3
    """After them a start that leads somewhere better leads the others."""
    still_mm: float = 1.0
    """A step that moves no joint of the leading start further is the last."""
