"""The copy of each volume on the NAS: how it gets there, what it holds, how it is read."""
