"""What clients rely on, sent over HTTP to both pools of a complete running product."""
