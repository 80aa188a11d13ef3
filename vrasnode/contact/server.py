"""The management server as this PC sees it: what it can be asked, and the form of what it answers.

How a request gets there is `calling`'s; when to ask, and what to do with the answers, in `part` and in the
parts.
"""

from urllib.parse import quote

from vrasnode.chunks.deltamap import MAX_DELTAMAP_BYTES
from vrasnode.chunks.manifest import MAX_MANIFEST_BYTES
from vrasnode.contact.calling import SEALED, Ask, Caller
from vrasnode.contact.identity import checked_path
from vrasnode.contact.problems import retry_after
from vrasnode.wire.checkout import TimeRequest
from vrasnode.wire.clients import (
    Desired,
    EnrolAnswer,
    EnrolRequest,
    Heartbeat,
    HeartbeatAnswer,
    RenewRequest,
)
from vrasnode.wire.codec import decode, encode
from vrasnode.wire.mydoc import KeyAnswer, KeyRequest, KillNotice, KillReport, Questions, RecoveryDeposit
from vrasnode.wire.replication import ReplicationKeyAnswer, ReplicationKeyRequest
from vrasnode.wire.signatures import Signed
from vrasnode.wire.swarm import SwarmAnswer, SwarmCall, SwarmTerms

MAX_INSTALLATION_BYTES = 64 << 10


class Server(Caller):
    """One management server. Safe to use from several threads."""

    def installation(self) -> bytes:
        """The installation's own description, not trusted yet: the token's hash decides."""
        path = "/node/v1/installation"
        return self.call(Ask(method="GET", path=path, limit=MAX_INSTALLATION_BYTES, signed=False)).body

    def enrol(self, request: EnrolRequest) -> EnrolAnswer:
        """Asks to become a member."""
        return decode(self.post("/node/v1/enrol", encode(request), signed=False), EnrolAnswer)

    def certificate(self) -> tuple[EnrolAnswer, float | None]:
        """How the enrolment stands, and after how many seconds to ask again if the server said."""
        answer = self.call(Ask(method="GET", path="/node/v1/certificate"))
        return decode(answer.body, EnrolAnswer), retry_after(answer.headers)

    def renew(self, request: RenewRequest) -> EnrolAnswer:
        """A new certificate, also after the old one has expired."""
        return decode(self.post("/node/v1/renew", encode(request)), EnrolAnswer)

    def desired(self, revision: str | None) -> tuple[Desired, str] | None:
        """What this PC should be, with its revision; None when that is still `revision`."""
        headers = {"If-None-Match": f'"{revision}"'} if revision else {}
        answer = self.call(Ask(method="GET", path="/node/v1/desired", headers=headers))
        if answer.status == 304:
            return None
        etag = answer.headers.get("ETag", "").removeprefix("W/").strip('"')
        return decode(answer.body, Desired), etag

    def report(self, app: str, body: bytes) -> None:
        """Gives an encoded report to the server's app."""
        self.post(f"/node/v1/reports/{app}", body)

    def heartbeat(self, message: Heartbeat) -> HeartbeatAnswer:
        """Says that this PC lives."""
        return decode(self.post("/node/v1/heartbeat", encode(message)), HeartbeatAnswer)

    def volume_key(self, request: KeyRequest) -> KeyAnswer:
        """The server's half of a volume's key, for a logon that it knows."""
        return decode(self.post("/node/v1/mydoc/key", encode(request)), KeyAnswer)

    def deposit_recovery(self, deposit: RecoveryDeposit) -> None:
        """Leaves with the server what recovers a volume, for the custodians alone."""
        self.post("/node/v1/mydoc/recovery", encode(deposit))

    def kill_order(self) -> KillNotice:
        """What a PC that was declared lost has to do."""
        return decode(self.call(Ask(method="GET", path="/node/v1/mydoc/kill")).body, KillNotice)

    def killed(self, report: KillReport) -> None:
        """Says that it was done."""
        self.post("/node/v1/mydoc/kill", encode(report))

    def questions(self) -> Questions:
        """What people ask of this PC's open volumes; each is given out once."""
        return decode(self.call(Ask(method="GET", path="/node/v1/mydoc/questions")).body, Questions)

    def answer(self, question: str, sealed: bytes) -> None:
        """Gives back what was asked, sealed to whoever asked."""
        self.post(f"/node/v1/mydoc/answers/{quote(question, safe='')}", sealed, kind=SEALED)

    def replication_key(self, request: ReplicationKeyRequest) -> ReplicationKeyAnswer:
        """What one run of a replication needs, sealed."""
        return decode(self.post("/node/v1/replication/key", encode(request)), ReplicationKeyAnswer)

    def server_time(self, request: TimeRequest) -> Signed:
        """What time it is, signed (`ServerTime`)."""
        return decode(self.post("/node/v1/checkout/time", encode(request)), Signed)

    def hand_in_manifest(self, run: str, packed: bytes) -> None:
        """What was copied in this run."""
        path = f"/node/v1/replication/manifest/{quote(run, safe='')}"
        self.call(Ask(method="PUT", path=path, body=packed, kind=SEALED))

    def manifest(self, path: str) -> bytes:
        """The bytes of a manifest. Raises Unreachable(fetch_gone) when it is no longer there."""
        return self.content(path, limit=MAX_MANIFEST_BYTES)

    def frames(self, path: str) -> bytes:
        """The bytes of a map of frames, or of delta frames. Raises Unreachable(fetch_gone) when it is no
        longer there."""
        return self.content(path, limit=MAX_DELTAMAP_BYTES)

    def swarm(self, terms: SwarmTerms, call: SwarmCall) -> SwarmAnswer:
        """One word with the server while a version is shared. Not signed: the permission says who it is."""
        headers = {"Authorization": f"Bearer {terms.permission}"}
        ask = Ask(
            method="POST", path=checked_path(terms.path), body=encode(call), headers=headers, signed=False
        )
        return decode(self.call(ask).body, SwarmAnswer)
