"""Network definitions (torch). Needed for training and export only, never at run time."""
