"""Makes bootable disks from Debian packages, without root rights, mounts or installing anything.

`image` makes the virtual server's; the modules below it (packages, files of the first boot stage, disk
layout, cache) know nothing of what is on a disk, and make the demo's masters as well.
"""
