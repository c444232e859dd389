"""A take as one page to read: what was recorded, how well, and by what."""
