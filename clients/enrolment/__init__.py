"""How a PC joins, who it is at every door, what it is told; the keys that it trusts."""
