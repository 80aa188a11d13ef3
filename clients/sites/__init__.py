"""Sites: places with addresses of their own, and at which of them a PC is."""
