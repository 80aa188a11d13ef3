"""The Wi-Fi that a group's PCs join."""
