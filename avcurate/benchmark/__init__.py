"""Builds clip benchmarks from published lists: which clips, by what rule, and why not the others."""
