"""The PC's half of OpenVRAS: makes a PC what the management server declares. Knows no Django.

`cli` and `agent` drive the parts (`desktop`, `imaging`, later `mydoc`, `checkout`); a part uses one-world
modules (`server`, `hypervisor`, `host` …), those use the pure ones (`domainxml`, `chunks`), and all of
them speak `wire`. The management server imports only `wire` and the pure modules.
"""

__version__ = "0.1.0"
