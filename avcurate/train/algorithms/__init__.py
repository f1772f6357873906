"""The algorithms of ``train``, one a file."""
