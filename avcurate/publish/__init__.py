"""Labelled rows for others: training shards, dataset folders, ms-swift."""
