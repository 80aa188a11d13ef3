"""The program inside the virtual server: does what the control base asks for over a virtio-serial port.

`port` carries lines, `answering` runs what they ask for, `machine` and `fileserver` are what can be asked.
Nothing here imports anything but Python's standard library and its own siblings: it is all that the image
holds of OpenVRAS. It keeps nothing: after a restart the control base says everything anew.
"""
