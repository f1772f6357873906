"""A small audio-visual world with known truth, and a model, small enough to ship, that hears and sees it."""
