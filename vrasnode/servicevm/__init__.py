"""The virtual server from the inside: `guest` is the program that runs in it, `build` makes its disk image.

Neither is part of the agent: `guest` is copied into the image and knows only Python's standard library,
`build` runs where images are made. What the agent does with the machine is in `virtualserver`.
"""
