"""The deployment files, held to what they promise, their commands run on this machine."""
