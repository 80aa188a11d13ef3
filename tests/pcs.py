"""A PC as the server sees it: it signs its requests itself. The real agent is in the walks."""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.test import Client as Browser

from clients.enrolment import enrolling
from clients.models import Client, Group
from vrasnode.wire import clients as wire
from vrasnode.wire import codec, devices, signatures

FACTS = wire.HostFacts(
    hostname="pc",
    agent_version="0.1.0",
    os="Debian 12",
    cpus=4,
    memory_bytes=8 << 30,
    state_disk_bytes=256 << 30,
    state_disk_free_bytes=200 << 30,
    accelerator="kvm",
    reflink=True,
)


_DOORS = Browser()  # one for all: each looks through every static file when it is made


@dataclass
class FakePc:
    """Holds a PC's key and speaks for it at the server's doors."""

    client: Client
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def enrol(cls, name: str, *, group: Group | None, approved: bool, now: datetime) -> "FakePc":
        key = ec.generate_private_key(ec.SECP256R1())
        _row, token = enrolling.make_token(group=group, approved=approved, now=now)
        return cls(enrolling.enrol(request(name, key, token=token), now=now), key)

    def get(self, path: str, **headers: str) -> Any:
        return _DOORS.get(path, headers={**self.sign("GET", path, b""), **headers})

    def post(self, path: str, message: Any) -> Any:
        body = message if isinstance(message, bytes) else codec.encode(message)
        return _DOORS.post(path, body, content_type="application/json", headers=self.sign("POST", path, body))

    def put(self, path: str, body: bytes) -> Any:
        headers = self.sign("PUT", path, body)
        return _DOORS.put(path, body, content_type="application/octet-stream", headers=headers)

    def sign(
        self, method: str, target: str, body: bytes, *, created: int | None = None, nonce: str | None = None
    ) -> dict[str, str]:
        """The three headers of a signed request."""
        digest = signatures.content_digest(body)
        params = signatures.signature_input(
            created=created if created is not None else int(datetime.now().timestamp()),  # noqa: DTZ005  (Unix time)
            nonce=nonce or secrets.token_hex(16),
            key_id=str(self.client.pk),
        )
        signature = self.key.sign(
            signatures.signature_base(method, target, digest, params), ec.ECDSA(hashes.SHA256())
        )
        text = base64.b64encode(signature).decode()
        return {"content-digest": digest, "signature-input": params, "signature": f"vras=:{text}:"}


def csr_for(key: ec.EllipticCurvePrivateKey, name: str = "pc") -> str:
    """A certificate request for this key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def request(name: str, key: ec.EllipticCurvePrivateKey, *, token: str) -> wire.EnrolRequest:
    """What a PC sends to enrol."""
    return wire.EnrolRequest(token=token, name=name, csr=csr_for(key, "pc"), hpke_key=bytes(32), facts=FACTS)


def facts_with_devices() -> wire.HostFacts:
    """A desktop PC: its disk and LAN, a graphics card, two sticks of one model, a keyboard, a drive."""
    return msgspec.structs.replace(
        FACTS,
        platform=wire.Platform(
            model="Fabrikam Desk 5",
            notebook=False,
            iommu="vtd",
            tpm="2.0",
            secure_boot=True,
            encrypted_state=True,
        ),
        devices=devices.DeviceFacts(
            pci=[
                _pci("0000:00:1f.0", "060100", "8086:a30d", "ISA bridge", group=3),
                _pci("0000:01:00.0", "010802", "144d:a808", "NVMe disk", group=10, needed=devices.Need.DISK),
                _pci(
                    "0000:02:00.0", "020000", "8086:15be", "LAN controller", group=11, needed=devices.Need.LAN
                ),
                _pci("0000:03:00.0", "030000", "10de:1cb1", "Graphics card", group=12),
                _pci("0000:00:14.0", "0c0330", "8086:a36d", "xHCI 300", group=4),
            ],
            usb=[
                _usb("1-1", "0930:6545", "AAAA0001", ["08:06:50"], "Data stick"),
                _usb("1-2", "0930:6545", "AAAA0002", ["08:06:50"], "Data stick"),
                _usb("1-3", "046d:c31c", None, ["03:01:01", "03:00:00"], "Keyboard"),
                _usb("1-4", "1fc9:0081", "Z9", ["08:06:50", "03:01:01"], "Stick that types"),
            ],
            optical=[devices.OpticalDrive(node="sr0", name="DVD drive")],
        ),
    )


def _pci(
    address: str, device_class: str, ids: str, name: str, *, group: int, needed: devices.Need | None = None
) -> devices.PciDevice:
    vendor, product = ids.split(":")
    return devices.PciDevice(
        address=address,
        device_class=device_class,
        vendor=vendor,
        product=product,
        name=name,
        iommu_group=group,
        resets=["flr"],
        needed_for=[needed] if needed else [],
    )


def _usb(port: str, ids: str, serial: str | None, interfaces: list[str], name: str) -> devices.UsbDevice:
    vendor, product = ids.split(":")
    return devices.UsbDevice(
        port=port,
        number=2,
        controller="0000:00:14.0",
        vendor=vendor,
        product=product,
        serial=serial,
        interfaces=interfaces,
        name=name,
    )
