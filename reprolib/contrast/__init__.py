"""Contrastive terms along the slides' three axes, which compose freely: `samples`, `features`, `losses`."""
