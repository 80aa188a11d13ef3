"""What the server does with replicas by itself: notices, mends, deletes, reads again, restores to compare."""
