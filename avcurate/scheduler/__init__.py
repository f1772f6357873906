"""Asks a model about rows: settings × n, early exit, canaries, journal. One for every task; knows no file layout."""
