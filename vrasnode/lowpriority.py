"""Sockets that carry image bytes give way to whatever people do at the same time.

By the field that routers and switches go by (DSCP), by the last of the kernel's own queues, and by sending at
an even pace instead of in bursts. None of it is a promise: a network that does not look at the field treats
these bytes as any others, and the rate that counts is kept by `fetching` and `swarm.engine`.

What a PC gets, others send: a server whose kernel answers with the field that it was called with
(`net.ipv4.tcp_reflect_tos`) sends so, too. That is why the field is set before the first packet.
"""

import socket
from contextlib import suppress

LOWER_EFFORT = 1  # RFC 8622
MAX_DSCP = 63
_LAST_QUEUE = 2  # TC_PRIO_BULK <linux/pkt_sched.h>: after all other bands of pfifo_fast
_SO_MAX_PACING_RATE = 47  # <asm-generic/socket.h>; Python has no name for it
_UNPACED = (1 << 32) - 1

Option = tuple[int, int, int]


def before_connecting(dscp: int) -> list[Option]:
    """What a socket is given before it connects; `fits` says which of it one of a family takes."""
    return [
        (socket.IPPROTO_IP, socket.IP_TOS, _field(dscp)),
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _field(dscp)),
        _queue(dscp),
    ]


def fits(option: tuple[int, int, int | bytes], family: int) -> bool:
    """Whether a socket of this family has such an option."""
    return option[0] != socket.IPPROTO_IPV6 or family == socket.AF_INET6


def give_way(sock: socket.socket, *, dscp: int, rate_bytes_s: int | None = None) -> None:
    """From now on this socket gives way, and sends `rate_bytes_s` at most. What the kernel does not take is
    left: images come all the same."""
    options = [one for one in before_connecting(dscp) if fits(one, sock.family)]
    pace = min(rate_bytes_s, _UNPACED - 1) if rate_bytes_s else _UNPACED
    for level, name, value in [*options, (socket.SOL_SOCKET, _SO_MAX_PACING_RATE, pace)]:
        with suppress(OSError):
            _set(sock, level, name, value)


def pace_of(sock: socket.socket) -> int | None:
    """The bytes a second that this socket sends at most; None: as fast as it goes."""
    told = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, 4), "little")
    return None if told == _UNPACED else told


def _set(sock: socket.socket, level: int, name: int, value: int) -> None:
    if name == _SO_MAX_PACING_RATE:  # more than a signed number holds
        sock.setsockopt(level, name, value.to_bytes(4, "little"))
    else:
        sock.setsockopt(level, name, value)


def _queue(dscp: int) -> Option:
    """After the field, which chooses a queue by itself."""
    return socket.SOL_SOCKET, socket.SO_PRIORITY, _LAST_QUEUE if _field(dscp) else 0


def _field(dscp: int) -> int:
    """The byte of the IP header; what no DSCP can be marks nothing."""
    return dscp << 2 if 0 <= dscp <= MAX_DSCP else 0
