"""How faithfully captions report what is heard and seen, scored by a language model."""
