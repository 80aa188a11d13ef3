"""Usage keys: how a volume opens away from the company's LAN, for a time, and not a moment longer.

What the server lends is a permission with half a secret in it (`verifying`). The PC makes the other half, and
gives it to its TPM (`chip`), which returns it for the PIN alone, within the period (`keeping`); both halves
make what opens the volume's own slot (`secret`). What is known of each lease is kept so that nothing on the
disk can be put back (`state`), and what time it is, is believed of no single clock (`floor`). `part` drives.
"""
