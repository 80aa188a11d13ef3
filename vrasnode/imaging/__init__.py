"""Workgroup Desktop on the PC: versions fetched, checked, assembled and kept in two slots."""
