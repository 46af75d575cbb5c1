"""Account packets over TCP: the codec, connections, the pool of processes, the client."""
