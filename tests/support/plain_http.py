"""httpx without TLS, which nothing here speaks: reading the certificates takes 30 ms a client.

The suite polls, with a client for each question since servers come and go.
"""

from functools import partial

import httpx

Client = partial(httpx.Client, verify=False)
get = partial(httpx.get, verify=False)
post = partial(httpx.post, verify=False)
request = partial(httpx.request, verify=False)
