"""Blinded review by people: what is shown, what they say, and the local page."""
