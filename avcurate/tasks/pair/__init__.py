"""For each picture a sound that says something else."""
