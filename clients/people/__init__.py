"""Who may do what here: the company's directory, roles, rights."""
