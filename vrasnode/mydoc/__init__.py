"""My Doc Manager on the PC: encrypted volumes, opened after a logon on the LAN, locked with a proof."""
