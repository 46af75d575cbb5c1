"""People: operators today; registration, sessions and pictures build on the same user."""
