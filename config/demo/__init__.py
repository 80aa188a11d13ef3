"""The demo: the whole product on one machine, with real parts. Its pieces are the tests' lab as well.

`server` runs the management server's processes, `lan` and `pcs` make PCs with a network and a libvirt of
their own, `bootimage` builds master images that boot, `story` plays the main job on them.
"""
