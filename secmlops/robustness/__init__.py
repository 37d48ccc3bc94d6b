"""Attacks on image classifiers, what hardens them, and what can be proved about them - for any classifier in PyTorch."""
