"""Pair each picture with a sound that contradicts it."""
