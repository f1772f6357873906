"""avcurate: curate and label data for audio-visual LLMs, and train on what was curated."""

__version__ = "0.1.0"
