"""Commands of the whole house, in Django's place for them."""
