"""Replicas of user data on the company's NAS, and the end of a PC's day."""
