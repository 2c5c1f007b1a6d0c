"""Datasets: what they look like, where they lie, how the embedded ones are made, and pairs of them for training."""
