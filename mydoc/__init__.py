"""My Doc Manager: encrypted user data behind the directory gate. Nothing here yet."""
