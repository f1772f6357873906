"""Typer commands: parse, validate, call one function of a lower layer, print."""
