"""The fast path: hot routes answered by one handler through three doors."""
