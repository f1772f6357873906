"""Clips described under A, V and AV."""
