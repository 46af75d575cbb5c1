"""Where measurements are kept: PostgreSQL, kdb+, and memory for tests."""
