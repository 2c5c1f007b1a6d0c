"""Methods of unpaired translation: one module each, which defines `Method`."""
