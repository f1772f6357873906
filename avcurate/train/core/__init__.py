"""MAPO (Eq. 1-5) and the mask of SFFL (Eq. 2-6), in plain torch: no trainer, no model, no files."""
