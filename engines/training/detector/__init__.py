"""Training the 2D detector: crops, pseudo-labels, augmentation, the training loop."""
