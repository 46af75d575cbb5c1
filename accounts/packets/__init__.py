"""Accounts over TCP: one JSON object a line, for servers that ask all day long."""
