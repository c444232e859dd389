"""Data, augmentation, losses, training and evaluation (torch)."""
