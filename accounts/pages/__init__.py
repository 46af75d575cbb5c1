"""The pages on which people manage their own account, and the address of their pictures."""
