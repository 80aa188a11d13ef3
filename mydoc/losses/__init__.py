"""PCs that are lost, or away for too long: what they are refused, what they forget, what is certified."""
