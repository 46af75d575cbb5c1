"""The whole product on one machine: embedded stores, every process, one command. Never deployed."""
