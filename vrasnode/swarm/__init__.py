"""PCs of one place that give each other a version's frames, so that the server sends each about once.

    relay    decides who is sent what and when; no sockets, no clock: the simulation runs the same code
    known    what is known of a peer
    trust    who a peer is: TLS with the PCs' own certificates
    line     one connection to a peer: bytes to messages and back
    peering  a line and whose it is
    source   frames that this PC can send: from its cache, or made again from the image
    engine   the loop over all lines
    session  one version being shared: the engine, the server's word about what to get, and the threads

A piece that came from the server is pushed to everybody who lacks it, by the PC that got it (scatter,
allgather); what does not come that way in time is asked for from whoever has it. Digests decide what is
right, before anything is written or passed on.
"""
