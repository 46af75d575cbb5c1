"""Commands of the time series."""
