"""Counters: increments that are acknowledged once they are on disk, and counted exactly once."""
