"""What a model hears and sees, layer by layer: seven looks inside one, over a whole set of questions."""
