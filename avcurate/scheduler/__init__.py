"""Asks a model about rows: settings × n, early exit, canaries, journal. Shared by all tasks; knows no file layout."""
