"""Measuring trained systems on test pictures: from a checkpoint to records."""
