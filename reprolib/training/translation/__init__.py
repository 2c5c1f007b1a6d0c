"""Training translators: one task, and a file a method (its losses and its order of steps)."""
