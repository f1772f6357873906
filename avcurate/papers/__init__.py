"""Finished runs as the papers print them."""
