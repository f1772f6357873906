"""One interface to a model that answers, and one to an embedder. Knows questions only as requests."""
