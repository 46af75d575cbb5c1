"""Management commands of the counters."""
