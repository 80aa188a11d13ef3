"""User data of all PCs as one tree: who may look, share, read and write; live from the PCs."""
