"""What PCs may have of their devices: policies of groups, PCs and people, and what becomes of them."""
