"""A model on a benchmark: under audio only, video only, both, and with the PEM forced."""
