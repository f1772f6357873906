"""A small audio-visual world whose truth is known, and a model small enough to ship that hears and sees it."""
