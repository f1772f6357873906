"""Pure definitions: answers, consistency, solvability, PEM. No I/O, no model."""
