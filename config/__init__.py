"""Puts the rooms together: settings, URLs, servers, Celery and wiring."""
