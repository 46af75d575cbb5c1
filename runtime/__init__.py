"""Mechanisms that the domains share. Knows neither Django nor any domain."""
