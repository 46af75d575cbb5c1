"""Commands of people's accounts."""
