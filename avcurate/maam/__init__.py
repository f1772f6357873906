"""The modality-asymmetric attention mask of separate-then-fuse responses (SFFL §3.3), in training and decoding."""
