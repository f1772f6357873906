"""Labelled rows for other tools: training shards, dataset folders, ms-swift."""
