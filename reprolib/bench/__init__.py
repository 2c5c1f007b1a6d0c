"""What a step costs beside the plain way of taking it, measured in the same run on the same machine."""
