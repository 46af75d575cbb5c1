"""The counters over HTTP: increments, totals, history."""
