"""A page in the browser: the scene in 3D with people in their places, live (``--web``), of a take, or as one file."""
