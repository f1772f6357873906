"""``leak``: which questions of a benchmark need what they claim to need."""
