"""Workgroup Desktop: master images, their versions, and bringing them to groups of PCs."""
