"""Training the lifter: views of captured poses, losses, the training loop."""
