"""Time series: measurements of tags, kept for the retention and sampled on demand."""
