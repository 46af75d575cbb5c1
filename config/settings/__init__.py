"""Django settings: `local` for the embedded stack, `production`, `test`; all built on `base`."""
