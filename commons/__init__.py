"""What the domains' edges share and needs Django: below the domains, above `runtime`."""
