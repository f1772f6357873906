"""How faithfully captions report what is heard and what is seen, as a language model scores it."""
