"""Management commands of people's accounts."""
