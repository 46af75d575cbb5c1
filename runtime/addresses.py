"""Who is asking: the client's address, also behind proxies, and what of it a limit goes by."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# What one customer of a provider has of IPv6: a limit by single address would be none.
_IPV6_SHARED_BITS = 64
# A chain of proxies is short; what is longer was made up.
_HOPS_MOST = 32


class Addresses:
    """Reads the client's address from the peer's and, where a proxy is trusted, from what it says.

    `trusted` are addresses and networks of proxies, such as `10.0.0.0/8`; ValueError names one
    that is neither.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = [ip_network(each, strict=False) for each in trusted]
        self._known: dict[str, bool] = {}

    def client(self, peer: str, forwarded: bytes | None) -> str:
        """The address of the client: the last one in `forwarded` (the header `X-Forwarded-For`)
        that is no trusted proxy, or the peer's, when that is none itself.
        """
        if forwarded is None or not self._networks or not self._trusts(peer):
            return peer
        client = peer
        for hop in reversed(forwarded.decode("latin-1").split(",")[-_HOPS_MOST:]):
            address = _parse(hop.strip())
            if address is None:
                break  # Whatever stands before it was not written by a proxy of ours.
            client = str(address)
            if not self._trusts(client):
                break
        return client

    def _trusts(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            parsed = _parse(address)
            known = parsed is not None and any(parsed in network for network in self._networks)
            if len(self._known) >= 1024:
                self._known.clear()
            self._known[address] = known
        return known


def limited_as(address: str) -> str:
    """What a limit counts this address under: itself, or its /64 network for IPv6."""
    if ":" not in address:
        return address
    parsed = _parse(address)
    if not isinstance(parsed, IPv6Address):
        return str(parsed) if parsed else address
    return str(ip_network((int(parsed) >> 64 << 64, _IPV6_SHARED_BITS)))


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """The address; an IPv4 one that is written as IPv6 (`::ffff:1.2.3.4`) becomes IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
