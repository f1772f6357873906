"""Chains: recipes that run several commands, one after the other or side by side, in one folder with one status."""
