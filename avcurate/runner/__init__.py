"""Drives a stage over parts: resume, dead letters, retries, local or Ray. Knows no stage by name."""
