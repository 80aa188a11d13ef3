"""The chunk engine: disk image ↔ manifest, frames and packs. Pure: no network, no libvirt, no Django.

How an image becomes a version: `opening` finds raw bytes behind a file, `scanning` names its chunks by hash,
`cutting` compresses the ones nobody has into `frames` and lays them back to back in `packs`, `manifest` lists
them under one signature. How a PC gets it back: `manifest` says which chunks, `framemap` says where their
frames lie and which ranges to ask for, `frames` opens them.

Used by the agent (assembles), the server (stores and serves) and `vrasctl` (publishes).
"""
