"""How fast a PC is bare, how fast its client VM is, and whether the difference is within what was promised.

The promise: at most 5 % slower for the processor, memory and what is passed through, at most 10 % for the
shared disk and LAN. It can only be checked where a guest runs on the processor itself; an emulated guest is
refused. Not for the product's own speed (`benchmarks/`).
"""
