"""Dehazing systems, one file each."""
