"""Ads: operators write them, visitors' pages ask which ones fit, memory answers."""
