"""Layers that several of the compared networks share."""
