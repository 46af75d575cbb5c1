"""The accounts' HTTP API, below `/api/v1/users/`."""
