"""Typed runs: what is trained and measured, where a run's files lie, and what its numbers depend on."""
