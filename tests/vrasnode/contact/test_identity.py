"""Keys that nobody else can read, and a server that is believed only when the token vouches for it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.vrasnode.office import CLIENT_ID, LIFE, Keys, issue
from vrasnode.contact.identity import Identity, Token, checked_url
from vrasnode.errors import HostBroken, Refused
from vrasnode.wire.clients import ClientState, EnrolAnswer


@pytest.fixture
def identity(keys: Keys, tmp_path: Path) -> Identity:
    identity = Identity(tmp_path / "identity")
    identity.begin(server="https://vras.example/", name="pc-1", installation=keys.installation)
    return identity


def certificate_for(identity: Identity, keys: Keys, *, begin: datetime | None = None) -> str:
    key = x509.load_pem_x509_csr(identity.certificate_request().encode()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return issue(key, CLIENT_ID, by=keys, begin=begin).public_bytes(Encoding.PEM).decode()


def approved(identity: Identity, keys: Keys, *, begin: datetime | None = None) -> Identity:
    certificate = certificate_for(identity, keys, begin=begin)
    identity.take(EnrolAnswer(client_id=CLIENT_ID, state=ClientState.APPROVED, certificate=certificate))
    return identity


def test_a_token_vouches_for_its_own_installation_only(keys: Keys) -> None:
    token = Token(f"  {keys.token}\n")

    assert token.check(keys.installation).name == "Test"
    with pytest.raises(Refused) as refused:
        token.check(keys.installation.replace(b"Test", b"Evil"))
    assert refused.value.code == "wrong_installation"


@pytest.mark.parametrize(
    "text", ["", "vrasenroll", "vrasenroll_a_b", "other_a_b_c", "vrasenroll_a__c", "a_b_c_d_e"]
)
def test_what_is_not_a_token_is_said_without_repeating_it(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Token(text)

    assert refused.value.code == "bad_token"


def test_a_tokens_secret_is_not_in_its_repr(keys: Keys) -> None:
    assert "s3cret" not in repr(Token(keys.token))


def test_only_the_owner_reads_the_keys(identity: Identity) -> None:
    assert identity.directory.stat().st_mode & 0o777 == 0o700
    for file in identity.directory.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_enrolling_again_after_a_lost_answer_is_done_with_the_same_keys(
    identity: Identity, keys: Keys
) -> None:
    before = (identity.directory / "signing.key").read_bytes(), identity.hpke_key

    second = Identity(identity.directory)
    second.begin(server="https://vras.example", name="pc-1", installation=keys.installation)

    assert ((second.directory / "signing.key").read_bytes(), second.hpke_key) == before


def test_what_the_server_answered_is_there_for_the_next_process(identity: Identity, keys: Keys) -> None:
    approved(identity, keys)

    found = Identity(identity.directory)

    assert found.approved
    assert found.client_id == CLIENT_ID
    assert found.enrolment is not None
    assert found.enrolment.server == "https://vras.example"


def test_a_certificate_of_another_authority_is_not_kept(identity: Identity) -> None:
    with pytest.raises(Refused) as refused:
        approved(identity, Keys())

    assert refused.value.code == "wrong_certificate"
    assert Identity(identity.directory).certificate is None


def test_a_certificate_for_another_key_is_not_kept(identity: Identity, keys: Keys) -> None:
    other = issue(ec.generate_private_key(ec.SECP256R1()).public_key(), CLIENT_ID, by=keys)
    pem = other.public_bytes(Encoding.PEM).decode()

    with pytest.raises(Refused) as refused:
        identity.take(EnrolAnswer(client_id=CLIENT_ID, state=ClientState.APPROVED, certificate=pem))

    assert refused.value.code == "wrong_certificate"


def test_a_certificate_is_renewed_in_the_last_third_of_its_life_and_after_it(
    identity: Identity, keys: Keys
) -> None:
    begin = datetime.now(UTC).replace(microsecond=0)
    approved(identity, keys, begin=begin)

    assert not identity.wants_renewal(begin + LIFE * 0.66)
    assert identity.wants_renewal(begin + LIFE * 0.67)
    assert identity.wants_renewal(begin + LIFE * 2)
    assert identity.presentable(begin + LIFE * 0.5)
    assert not identity.presentable(begin + LIFE + timedelta(seconds=1))


def test_what_it_signs_its_certificate_request_proves(identity: Identity) -> None:
    request = x509.load_pem_x509_csr(identity.certificate_request().encode())
    key = request.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)

    key.verify(identity.sign(b"words"), b"words", ec.ECDSA(hashes.SHA256()))

    assert request.is_signature_valid
    assert isinstance(key.curve, ec.SECP256R1)


def test_a_key_that_is_gone_is_said_and_not_made_anew(identity: Identity, keys: Keys) -> None:
    approved(identity, keys)
    (identity.directory / "signing.key").unlink()

    with pytest.raises(HostBroken) as broken:
        Identity(identity.directory).sign(b"words")

    assert broken.value.code == "identity_unreadable"


@pytest.mark.parametrize("file", ["installation", "enrolment.json", "certificate.pem"])
def test_a_damaged_identity_is_said_with_the_file(file: str, identity: Identity, keys: Keys) -> None:
    approved(identity, keys)
    (identity.directory / file).write_bytes(b"{")

    with pytest.raises(HostBroken) as broken:
        Identity(identity.directory)

    assert broken.value.code == "identity_unreadable"
    assert file in broken.value.words


@pytest.mark.parametrize(
    "server", ["vras.example", "ftp://vras.example", "https://", "https://me:pw@vras.example"]
)
def test_what_is_not_a_servers_address_is_refused(server: str) -> None:
    with pytest.raises(Refused) as refused:
        checked_url(server)

    assert refused.value.code == "bad_server"
