"""Hallucinated objects in captions: CHAIR, F1 and ALOHa."""
