"""The admin, through Django's client: every path writes the log, says what is wrong, asks first."""
