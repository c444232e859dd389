"""Pictures of estimates, for the window, the video and the still. Pure functions."""
