"""The pages in a real browser, against the complete running product."""
