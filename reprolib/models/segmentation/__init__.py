"""Networks that judge label-to-photo translation; no rows of a table, and so no systems."""
