"""Which addresses a fetched URL may lead to: only those of the public internet, however they are wrapped.

`ipaddress.is_global` is not used: it passes 168.63.129.16, 192.0.0.192, fec0::1, and private addresses that are wrapped
by NAT64 or 6to4. IPv4 is public unless the table says otherwise; IPv6 is public only inside 2000::/3, minus the table.
Sources: the IANA special-purpose address registries (RFC 6890), and the documents named in each reason.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_NOT_PUBLIC_4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this network (RFC 791)"),
        ("10.0.0.0/8", "a private network (RFC 1918)"),
        ("100.64.0.0/10", "a carrier's shared network (RFC 6598)"),
        ("127.0.0.0/8", "this machine (RFC 1122)"),
        ("168.63.129.16/32", "a cloud's host service"),
        ("169.254.0.0/16", "link-local, where clouds keep credentials (RFC 3927)"),
        ("172.16.0.0/12", "a private network (RFC 1918)"),
        ("192.0.0.0/24", "protocol assignments (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "the 6to4 relays (RFC 7526)"),
        ("192.168.0.0/16", "a private network (RFC 1918)"),
        ("198.18.0.0/15", "benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
    )
)
_NOT_PUBLIC_6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "no address at all (RFC 4291)"),
        ("::1/128", "this machine (RFC 4291)"),
        ("::/96", "an IPv4-compatible address (RFC 4291)"),
        ("::ffff:0:0:0/96", "an IPv4-translated address (RFC 2765)"),
        ("64:ff9b:1::/48", "a local NAT64 (RFC 8215)"),
        ("100::/64", "the discard prefix (RFC 6666)"),
        ("2001::/32", "a Teredo tunnel (RFC 4380)"),
        ("2001::/23", "protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2002::/16", "a 6to4 tunnel (RFC 3056)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("fc00::/7", "a private network (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)
# What stands in the last 32 bits decides: both lead to the IPv4 internet, as networks with IPv6 only need it.
_WRAPS_4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_PUBLIC_6 = IPv6Network("2000::/3")
_ISATAP = 0x5EFE  # RFC 5214: the interface identifier of a tunnel, [02]00:5efe and an IPv4 address


def forbidden(address: IPv4Address | IPv6Address) -> str | None:
    """Why nothing may be fetched from `address`, or None if it is public."""
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _NOT_PUBLIC_4 if address in network), None)
    if address.scope_id is not None:
        return "an address of one network interface (RFC 4007)"
    bare = int(address)
    if any(address in network for network in _WRAPS_4):
        return forbidden(IPv4Address(bare & 0xFFFF_FFFF))
    for network, reason in _NOT_PUBLIC_6:
        if address in network:
            return reason
    if bare >> 32 & 0xFDFF_FFFF == _ISATAP:
        return "an ISATAP tunnel (RFC 5214)"
    return None if address in _PUBLIC_6 else "not an address of the public internet (RFC 4291)"
