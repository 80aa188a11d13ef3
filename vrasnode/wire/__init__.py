"""The contract between server and PC: one frozen struct per message, imported by both sides.

Unknown fields are ignored, so an old PC can read a newer server. The encoding is canonical (sorted keys,
no white space): revisions and signatures are taken over it. One sample of each message lies in
`tests/wire/v1/` and is added to, never edited.
"""
