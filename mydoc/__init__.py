"""My Doc Manager: encrypted user data behind the directory gate; a package for each subject."""
