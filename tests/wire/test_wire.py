"""The contract between server and PC, held by samples: what was once sent is understood for ever.

`v1/` has one file per message, in canonical encoding: added to, never edited. A field that a message gains
later has a default, so its old sample still decodes; then a second sample `<Message>.<what>.json` shows it.
"""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from vrasnode.errors import Refused
from vrasnode.wire import (
    checkout,
    clients,
    codec,
    devices,
    imaging,
    mydoc,
    network,
    replication,
    signatures,
    swarm,
)
from vrasnode.wire.codec import Message
from vrasnode.wire.signatures import Keyring, Role

HERE = Path(__file__).parent
SAMPLES = sorted((HERE / "v1").glob("*.json"))
WHEN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def messages() -> dict[str, type[Message]]:
    """Every message of the wire, by name."""
    modules = (checkout, clients, devices, imaging, mydoc, network, replication, signatures, swarm)
    found = [item for module in modules for item in vars(module).values()]
    kinds = [item for item in found if isinstance(item, type) and issubclass(item, Message)]
    return {kind.__name__: kind for kind in kinds if kind is not Message}


def kind_of(sample: Path) -> type[Message]:
    return messages()[sample.name.split(".")[0]]


def sample(kind: type[msgspec.Struct]) -> Any:
    return codec.decode((HERE / "v1" / f"{kind.__name__}.json").read_bytes(), kind)


def pinned_keyring() -> Keyring:
    """What a PC trusts after enrolment."""
    return Keyring(sample(clients.Installation).root_key, sample(clients.ClientSlice).keyring)


def only_known(value: Any, *, to: Any) -> Any:
    """`value` without the keys that its older form `to` lacks, at every depth."""
    if isinstance(value, dict) and isinstance(to, dict):
        return {key: only_known(item, to=to[key]) for key, item in value.items() if key in to}
    if isinstance(value, list) and isinstance(to, list) and len(value) == len(to):
        return [only_known(one, to=other) for one, other in zip(value, to, strict=True)]
    return value


def test_every_message_has_a_sample() -> None:
    assert set(messages()) == {path.name.split(".")[0] for path in SAMPLES}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_read_and_written_to_the_same_bytes(path: Path) -> None:
    """But for the defaults of fields that came later."""
    data = path.read_bytes()
    written = codec.encode(codec.decode(data, kind_of(path)))

    assert codec.encode(only_known(json.loads(written), to=json.loads(data))) == data


@pytest.mark.parametrize("name", sorted(messages()))
def test_the_newest_sample_of_a_message_shows_every_field(name: str) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(messages()[name])}
    samples = [set(json.loads(path.read_bytes())) for path in SAMPLES if kind_of(path) is messages()[name]]

    assert fields in samples


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_an_old_reader_ignores_a_field_that_it_does_not_know(path: Path) -> None:
    known = json.loads(path.read_bytes())
    newer = json.dumps({"aaa_from_the_future": [1], **known, "zzz_from_the_future": {"deep": None}}).encode()

    assert codec.decode(newer, kind_of(path)) == codec.decode(path.read_bytes(), kind_of(path))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_message_of_another_shape_is_refused_with_words(path: Path) -> None:
    for wrong in (b"", b"[]", b'{"a":', b"\xff", b'"text"', b"null"):
        with pytest.raises(Refused) as refusal:
            codec.decode(wrong, kind_of(path))
        assert refusal.value.code == "bad_message"


def test_a_message_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(Refused, match="longer than"):
        codec.decode(b" " * (codec.MAX_MESSAGE_BYTES + 1), clients.Heartbeat)


def test_equal_messages_have_one_revision_and_different_ones_another() -> None:
    beat = sample(clients.Heartbeat)

    assert codec.revision(beat) == codec.revision(sample(clients.Heartbeat))
    assert codec.revision(beat) != codec.revision(msgspec.structs.replace(beat, uptime_s=5401))


def test_the_pinned_root_vouches_for_the_key_that_signed_the_assignment() -> None:
    keyring, wish = pinned_keyring(), sample(imaging.ImagingSlice)

    opened = keyring.open(wish.assignment, Role.ASSIGNMENT, imaging.Assignment, at=WHEN)

    assert opened == sample(imaging.Assignment)


def test_a_signature_for_one_role_counts_for_no_other() -> None:
    keyring, wish = pinned_keyring(), sample(imaging.ImagingSlice)
    key = keyring.keys[Role.ASSIGNMENT, wish.assignment.key]
    keyring.keys[Role.IMAGE, wish.assignment.key] = key  # as if the same key had both roles

    with pytest.raises(Refused) as refusal:
        keyring.open(wish.assignment, Role.IMAGE, imaging.Assignment, at=WHEN)
    assert refusal.value.code == "bad_signature"


def test_a_role_key_signs_only_while_it_is_valid() -> None:
    keyring, wish = pinned_keyring(), sample(imaging.ImagingSlice)

    with pytest.raises(Refused) as refusal:
        keyring.open(wish.assignment, Role.ASSIGNMENT, imaging.Assignment, at=WHEN.replace(year=2030))
    assert refusal.value.code == "key_expired"


def test_a_keyring_keeps_only_what_its_root_signed() -> None:
    own = sample(clients.ClientSlice)

    assert Keyring(bytes(32), own.keyring).keys == {}
    assert len(Keyring(sample(clients.Installation).root_key, own.keyring).keys) == len(own.keyring)


def test_a_signed_request_is_what_the_documentation_shows() -> None:
    example = json.loads((HERE / "signed_request.json").read_text())
    digest = signatures.content_digest(example["body"].encode())
    params = signatures.signature_input(
        created=example["created"], nonce=example["nonce"], key_id=example["key_id"]
    )
    base = signatures.signature_base(example["method"], example["target"], digest, params)

    assert (digest, params) == (example["content_digest"], example["signature_input"])
    assert base.decode() == example["signature_base"]
    documented = (HERE.parents[1] / "docs" / "wire.md").read_text()
    shown = ("body", "content_digest", "signature_input", "signature_base", "signature")
    assert all(example[part] in documented for part in shown)
    key = load_pem_public_key(example["public_key"].encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signature = base64.b64decode(example["signature"].removeprefix("vras=:").removesuffix(":"))
    key.verify(signature, base, ec.ECDSA(hashes.SHA256()))  # raises unless it fits


def test_every_message_is_documented() -> None:
    documented = (HERE.parents[1] / "docs" / "wire.md").read_text()
    inside = {"HostFacts", "Fetch", "Health"}  # parts of others

    assert {name for name in messages() if f"{name}" not in documented} <= inside
