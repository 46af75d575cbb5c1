"""The ads over HTTP: thin views over the services."""
