"""Typer commands: parse, validate, call one function below, print."""
