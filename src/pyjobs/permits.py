"""
What says who may come in: entries of the IP lists, tokens of the API, admins. Pure, as are the rules about addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from pyjobs.errors import Invalid

__all__ = [
    "LOOPBACK",
    "SCOPES",
    "Address",
    "Admin",
    "ApiToken",
    "IpEntry",
    "IpList",
    "Lists",
    "Network",
    "address_of",
    "network_of",
    "split",
    "written",
]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
#: Where somebody at this machine comes from.
LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
#: What a token may be good for; `admin` is good for all of it.
SCOPES = ("read", "run", "edit", "admin")
_MAPPED_BITS = 96


class IpList(str, Enum):
    """A list of addresses."""

    #: The whitelist.
    ALLOW = "allow"
    #: The blacklist, which wins.
    DENY = "deny"

    @property
    def zh(self) -> str:
        """Its name in Chinese."""
        return "白名单" if self is IpList.ALLOW else "黑名单"

    @property
    def setting(self) -> str:
        """The setting that its entries join."""
        return "IP_WHITELIST" if self is IpList.ALLOW else "IP_BLACKLIST"


@dataclass(frozen=True, slots=True, kw_only=True)
class IpEntry:
    """An address or network in one of the lists."""

    list: IpList
    #: As `network_of` gives it; one address has no `/`.
    network: str
    #: None: it comes from the settings.
    added_ms: int | None = None
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A token that clients of the API show."""

    id: int = 0
    name: str
    #: SHA-256 of its text, which nobody keeps, in hexadecimal.
    digest: str
    scopes: frozenset[str]
    created_ms: int = 0
    #: To the minute; None: never.
    used_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Somebody who may log in at /admin."""

    id: int = 0
    name: str
    #: `scrypt$…`, see service/passwords.py.
    password: str
    active: bool = True
    #: Sessions of an earlier epoch are over.
    epoch: int = 0
    created_ms: int = 0
    login_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Lists:
    """Both lists as they hold now."""

    allow: tuple[Network, ...]
    deny: tuple[Network, ...]

    def refusing(self, address: Address) -> IpList | None:
        """The list that keeps an address out; None: it may come in."""
        if any(address in network for network in self.deny):
            return IpList.DENY
        return None if any(address in network for network in self.allow) else IpList.ALLOW


def address_of(text: str) -> Address | None:
    """The address that a text is, IPv4 in IPv6 unmapped; None when it is none, octal parts included."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def network_of(text: str, field: str = "ip") -> Network:
    """
    The network that a text is: an address or CIDR; bits after the prefix are dropped, IPv4 in IPv6 is unmapped.

    Raises:
        Invalid: it is none.
    """
    try:
        network = ip_network(text.partition("%")[0], strict=False)
    except ValueError:
        raise Invalid(
            field,
            f"`{text}` is neither an address nor a network",
            f"`{text}` 不是有效的 IP 地址或网段",
            hint="write it as `10.1.2.3`, `10.0.0.0/8` or `2001:db8::/32`",
            hint_zh="请写成 `10.1.2.3`、`10.0.0.0/8` 或 `2001:db8::/32`",
        ) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def written(network: Network) -> str:
    """A network as it is shown and stored: one address has no `/`."""
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def split(text: str) -> Iterable[str]:
    """The parts of a setting that is a list."""
    return filter(None, map(str.strip, text.split(",")))
