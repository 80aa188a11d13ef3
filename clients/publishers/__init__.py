"""Publishers' keys: who may sign images, and that PCs trust them."""
