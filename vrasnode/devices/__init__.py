"""Devices that come and go: what of the plan hangs on the client VM, and what happened to it."""
