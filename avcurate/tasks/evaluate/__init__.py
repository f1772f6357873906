"""Evaluate a model on a benchmark under audio only, video only, both, and with forced PEMs."""
