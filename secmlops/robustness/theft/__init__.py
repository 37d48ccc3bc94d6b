"""What a model gives away to who may ask it: a copy of itself (extraction), and whom it learned from (membership)."""
