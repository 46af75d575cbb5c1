"""Benchmarks: every figure beside its references, measured in the same run. `make bench`."""
