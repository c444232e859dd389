"""The best of a whole recording: what live answers cannot be, for they do not know what comes.

    refine_person   one person's moments -> joints, covariance, what is measured and what is filled in

Pure functions. ``paths`` says which hypotheses, with hindsight; ``body`` what is believed of bones and motion;
``sequence`` solves all moments together; ``contacts`` finds feet that stand; ``cameras`` corrects the calibration.
"""

from engines.refinement.options import RefineOptions
from engines.refinement.person import EXTRAPOLATED, FILLED, MEASURED, Refined, refine_person

__all__ = ["EXTRAPOLATED", "FILLED", "MEASURED", "RefineOptions", "Refined", "refine_person"]
