"""The algorithms of ``train``, one per file."""
