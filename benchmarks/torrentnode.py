"""One PC of libtorrent's run in `benchmarks.swarmpeers`; for Debian's Python, so nothing of ours is in it.

    torrentnode.py make FILE TORRENT
    torrentnode.py seed|node TORRENT DIRECTORY ADDRESS PEER,…

Every node has all others named, as our server names them. It says `ready`, a node goes at the next line and
says `whole`; both give until stdin ends.
"""

import os
import sys
import time
from pathlib import Path

import libtorrent as lt

PIECE_BYTES = 256 << 10
PORT = 6881
SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": 0,
    "in_enc_policy": 2,  # no encryption
    "out_enc_policy": 2,
    "unchoke_slots_limit": 64,
    "connection_speed": 500,
    "max_out_request_queue": 500,
    "send_buffer_watermark": 2 << 20,
    "mixed_mode_algorithm": 0,
    "torrent_connect_boost": 100,
    "rate_limit_ip_overhead": False,
    "hashing_threads": 1,
    "aio_threads": 2,
    "suggest_mode": 0,
    "strict_end_game_mode": True,
    "seed_choking_algorithm": 1,  # fastest upload
    "choking_algorithm": 0,
    "min_reconnect_time": 1,
    "peer_turnover_interval": 3600,
    "close_redundant_connections": False,
}


def make(source: str, torrent: str) -> None:
    files = lt.file_storage()
    lt.add_files(files, source)
    made = lt.create_torrent(files, PIECE_BYTES)
    lt.set_piece_hashes(made, str(Path(source).parent))
    Path(torrent).write_bytes(lt.bencode(made.generate()))


def take_part(kind: str, torrent: str, directory: str, address: str, peers: str) -> None:
    session = lt.session({**SETTINGS, "listen_interfaces": f"{address}:{PORT}"})
    wish = lt.add_torrent_params()
    wish.ti = lt.torrent_info(torrent)
    wish.save_path = directory
    wish.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if kind == "seed":
        wish.flags |= lt.torrent_flags.seed_mode
        handle = session.add_torrent(wish)
        while not handle.status().is_seeding:
            time.sleep(0.02)
        print("ready", flush=True)
    else:
        print("ready", flush=True)
        sys.stdin.readline()
        handle = session.add_torrent(wish)
        tried, began = 0, time.monotonic()
        while not handle.status().is_seeding:
            if tried < 3 and time.monotonic() - began > 0.3 * tried * tried:
                for peer in peers.split(","):
                    handle.connect_peer((peer, PORT))
                tried += 1
            time.sleep(0.02)
        print("whole", flush=True)
    sys.stdin.read()
    os._exit(0)  # its own end takes seconds


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        take_part(*sys.argv[1:])
