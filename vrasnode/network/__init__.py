"""Wi-Fi, the firewall between the machines and the world, and whether this is the company's LAN."""
