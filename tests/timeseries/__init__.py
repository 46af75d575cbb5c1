"""Tests of the time series."""
