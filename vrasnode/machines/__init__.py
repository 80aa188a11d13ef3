"""The PC's two machines under libvirt, the client VM and the virtual server, and what runs them."""
