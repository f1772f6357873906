"""Counterfactual clips: a picture, copied packet by packet, with another clip's sound."""
