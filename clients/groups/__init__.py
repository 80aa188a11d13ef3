"""Groups of PCs: they come, are named, and go."""
