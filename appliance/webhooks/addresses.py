"""PURE: which addresses a webhook may go to (the guard against server-side request forgery).

Whoever may set a webhook's url, or answers for its name in the DNS, must not thereby reach what only this machine
reaches: itself, its LAN, a cloud's metadata service. So what counts is the address that is connected to, at the moment
of connecting; a name means nothing.

Two steps: an IPv6 address that carries an IPv4 one (mapped, compatible, 6to4, NAT64) is judged by that one. Then IPv4
is refused by the IANA special-purpose registry (RFC 6890 and later entries), and IPv6 is let through only in the block
that global unicast addresses are given from, 2000::/3 (RFC 4291 §2.4), less the special purposes in it.

What it cannot know: a NAT64 prefix of an operator's own (RFC 6052 §2.2), which looks like any global address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["literal", "refusal"]

Address = IPv4Address | IPv6Address

NEVER = (
    (IPv4Network("0.0.0.0/8"), "unspecified"),
    (IPv4Network("224.0.0.0/4"), "multicast"),
    (IPv4Network("240.0.0.0/4"), "reserved"),  # with 255.255.255.255
    (IPv6Network("::/128"), "unspecified"),
    (IPv6Network("ff00::/8"), "multicast"),
)
"""No host's address: refused whatever the settings say."""

LOCAL = (
    (IPv4Network("10.0.0.0/8"), "private"),
    (IPv4Network("100.64.0.0/10"), "shared by a carrier (CGNAT)"),
    (IPv4Network("127.0.0.0/8"), "loopback"),
    (IPv4Network("169.254.0.0/16"), "link-local"),
    (IPv4Network("172.16.0.0/12"), "private"),
    (IPv4Network("192.0.0.0/24"), "reserved"),
    (IPv4Network("192.0.2.0/24"), "for documentation"),
    (IPv4Network("192.88.99.0/24"), "reserved"),
    (IPv4Network("192.168.0.0/16"), "private"),
    (IPv4Network("198.18.0.0/15"), "for benchmarks"),
    (IPv4Network("198.51.100.0/24"), "for documentation"),
    (IPv4Network("203.0.113.0/24"), "for documentation"),
    (IPv6Network("::1/128"), "loopback"),
    (IPv6Network("fc00::/7"), "private"),
    (IPv6Network("fe80::/10"), "link-local"),
    (IPv6Network("fec0::/10"), "private"),
    (IPv6Network("2001::/23"), "reserved"),  # Teredo, ORCHID and other protocols' own
    (IPv6Network("2001:db8::/32"), "for documentation"),
    (IPv6Network("3fff::/20"), "for documentation"),
)
"""Reached from here only, or by nobody: refused unless the webhook may go to private addresses."""

GLOBAL = IPv6Network("2000::/3")

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_LOW = 0xFFFFFFFF


def refusal(address: str, *, allow_private: bool) -> str | None:
    """Why this address is not connected to, in a word as ``loopback``, or None when it may be."""
    found = _carried(ip_address(address))
    for network, word in NEVER if allow_private else (*NEVER, *LOCAL):
        if found.version == network.version and found in network:
            return word
    if not allow_private and found.version == 6 and found not in GLOBAL:
        return "reserved"
    return None


def literal(host: str) -> str | None:
    """``host`` when it is an address and not a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _carried(address: Address) -> Address:
    """The IPv4 address inside of an IPv6 one, where packets to the one reach the other."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & _LOW)
    return address
