"""The time series over HTTP: measurements, samples, raw data, and what Grafana asks for."""
