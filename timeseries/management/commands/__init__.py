"""Management commands of the ads."""
