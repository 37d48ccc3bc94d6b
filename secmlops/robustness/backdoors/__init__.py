"""Backdoors in training sets: planting them for a drill, finding them, and training without them."""
