"""Connections whose socket is told everything before its first packet, whichever family its address is of.

urllib3 gives a socket of either family the same options, and what only IPv6 knows an IPv4 socket refuses.
"""

import socket
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from vrasnode import lowpriority


class _Plain(HTTPConnection):
    """Tries the addresses of a name one by one, each with the options of its own family."""

    def _new_conn(self) -> socket.socket:
        name, options = self._dns_host, self.socket_options
        try:
            found = socket.getaddrinfo(
                name.strip("[]"), self.port, allowed_gai_family(), type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError):
            return super()._new_conn()  # which says what is wrong with the name
        try:
            for number, (family, _, _, _, address) in enumerate(found, 1):
                self._dns_host, _port = socket.getnameinfo(
                    address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
                )
                self.socket_options = [one for one in options or () if lowpriority.fits(one, family)]
                try:
                    return super()._new_conn()
                except (NewConnectionError, ConnectTimeoutError):
                    if number == len(found):
                        raise
        finally:
            self._dns_host, self.socket_options = name, options
        return super()._new_conn()  # a name without addresses


class _Tls(_Plain, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class Pools(PoolManager):
    """A `PoolManager` whose `socket_options` may hold such as one family alone knows."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
