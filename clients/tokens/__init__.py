"""People's keys to REST: made, shown once, looked at with each request, ended."""
