"""Attention inside a model's own forward pass: read, cut, edited; one function for training, MAAM and every probe."""
