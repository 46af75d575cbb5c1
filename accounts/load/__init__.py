"""Load on accounts, as servers of ours would make it: what `manage.py load_accounts` runs. Pure."""
