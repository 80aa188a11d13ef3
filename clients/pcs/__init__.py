"""The PCs as people and programs see them: approved, moved, given to an employee, revoked."""
