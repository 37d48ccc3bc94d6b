"""Attacks on image classifiers, what hardens them, what can be proved about them: for any classifier in PyTorch."""
