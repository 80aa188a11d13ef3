"""What this PC is made of: /proc and /sys, its disk, its TPM. Decides nothing."""
