"""Labelled images: what they are, where they are read from, how they are checked and divided."""
