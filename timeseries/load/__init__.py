"""Load for trying the time series out: a producer and clients that ask, over HTTP."""
