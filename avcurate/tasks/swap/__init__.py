"""Counterfactual clips: another sound under a picture, whose packets are copied."""
