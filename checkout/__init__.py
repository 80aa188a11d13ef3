"""Checkout: usage keys for taking a PC out, and what was on a lost one. Nothing here yet."""
