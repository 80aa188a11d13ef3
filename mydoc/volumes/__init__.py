"""Volumes of user data: a logon is proven at the directory's gate, a key is given, and locked again."""
