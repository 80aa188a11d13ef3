"""A PC as the server sees it when user data opens and locks: nonces, slices, keys, reports."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.contrib.auth.models import User

from clients.enrolment import nodeslice
from mydoc.models import Opening
from mydoc.volumes import unlocking
from tests.pcs import FakePc
from vrasnode import sealing
from vrasnode.wire import codec
from vrasnode.wire import mydoc as wire


@dataclass
class UnlockingPc:
    """Speaks at the server's real doors; `now` is when it all happens."""

    pc: FakePc
    now: datetime
    key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    def log_on(self, user: User, *, nonce: str = "", address: str = "10.0.0.9") -> Opening:
        """The client VM's logon script has proven `user`."""
        return unlocking.prove(
            user, self.pc.client, nonce=nonce or secrets.token_hex(16), address=address, now=self.now
        )

    def slice(self) -> wire.MydocSlice:
        """What the server says that this PC should be."""
        desired = nodeslice.desired(self.pc.client, now=self.now)
        return codec.decode(desired.slices["mydoc"], wire.MydocSlice)

    def wish(self) -> wire.VolumeWish:
        """Its one volume."""
        (wish,) = self.slice().volumes
        return wish

    def ask(self, wish: wire.VolumeWish, **changed: Any) -> Any:
        """Asks for the server's half; the answer as it comes over HTTP."""
        reply_key = self.key.public_key().public_bytes_raw()
        asked = {"volume": wish.volume, "session": wish.session, "reply_key": reply_key, **changed}
        return self.pc.post("/node/v1/mydoc/key", wire.KeyRequest(**asked))

    def half(self, wish: wire.VolumeWish) -> bytes:
        """The server's half; there has to be one."""
        answer = self.ask(wish)
        assert answer.status_code == 200, answer.content
        sealed = codec.decode(answer.content, wire.KeyAnswer).sealed
        return sealing.open_sealed(sealed, self.key, purpose=sealing.half_purpose(wish.volume, wish.session))

    def deposit(self, wish: wire.VolumeWish, secret: bytes = bytes(32), **changed: Any) -> Any:
        """Deposits a recovery key for the custodians that its slice names."""
        custodians = self.slice().custodians
        wrapped = sealing.wrap_for_custodians(
            secret, [one.public_key for one in custodians], volume=wish.volume
        )
        told = {
            "volume": wish.volume,
            "session": wish.session,
            "luks_uuid": "5d9b9a0e-0f1a-4d0c-8a53-3b8c6f9d2e10",
            "custodians": [one.fingerprint for one in custodians],
            "wrapped": wrapped,
            **changed,
        }
        return self.pc.post("/node/v1/mydoc/recovery", wire.RecoveryDeposit(**told))

    def report(self, wish: wire.VolumeWish, state: wire.VolumeState, **told: Any) -> None:
        """Says how its volume stands."""
        one = wire.VolumeReport(**{"volume": wish.volume, "state": state, "session": wish.session, **told})
        assert self.pc.post("/node/v1/reports/mydoc", wire.MydocReport(volumes=[one])).status_code == 204
