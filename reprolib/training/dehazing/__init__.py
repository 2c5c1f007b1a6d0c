"""Training dehazers on pairs: the task, and the terms of its loss."""
