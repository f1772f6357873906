"""Which modality decides what a model answers about a clip."""
