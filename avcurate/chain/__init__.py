"""Chains: recipes that run several commands, in sequence or in parallel, in one folder with one status."""
