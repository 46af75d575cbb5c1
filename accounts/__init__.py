"""People: operators and everybody else; registration, sessions, pictures, over HTTP and TCP."""
