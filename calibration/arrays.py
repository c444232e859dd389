"""Names for the arrays that everything hands on; their shapes and units stand where they are used."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
"""Numbers."""
Bools = NDArray[np.bool_]
"""Masks."""
Ints = NDArray[np.integer]
"""Indexes and counts."""
Image = NDArray[np.uint8]
"""A picture, (H, W, 3) BGR unless said otherwise."""
