"""The PC's half of OpenVRAS: makes a PC what the management server declares. Knows no Django.

A package for each thing that the PC does, named like the server's app where there is one; `part` (of the
machines: `desktop`, `virtualserver`) is what `agent` gives its bite to, and parts meet in `building` alone.
One module knows each foreign world (`contact.calling`, `machines.hypervisor`, `host.thispc` …). The pure
ones (`chunks`, `domainxml`, `devicepolicy`, `words`) and `wire` are all that the management server imports.
"""

__version__ = "0.1.0"
