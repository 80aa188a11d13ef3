"""The program inside the virtual server: does what the control base asks for over a virtio-serial port.

`port` carries lines, `answering` runs what they ask for. What can be asked is in `machine` (with
`fileserver`) and in `userdata`: `volumes`, `shares`, and `foldertree` and `grants`, whose work is done in
processes of its own (`workers`). Nothing here imports anything but Python's standard library and its own
siblings: it is all that the image holds of OpenVRAS. It keeps nothing: after a restart the control base says
everything anew.
"""
