"""A PC with a real IOMMU on a machine that has none: emulated VT-d, real kernel, libvirt, QEMU and our agent.

`image` makes what it boots from, `payload` what changes with each run, `machine` runs it. What runs inside it
lies in `inside/`, the guest that looks at its own devices in `probe/`.
"""
