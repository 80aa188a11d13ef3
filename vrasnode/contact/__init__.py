"""This PC and its server: who it is, what it was told, what it has yet to say. `server` alone speaks HTTP."""
