"""What a company has on its LAN before OpenVRAS comes: a directory with people, a file server, DHCP, names.
Needs root.

The directory is a real domain controller (Samba), made anew from one archive each time: what is changed in it
is gone when it ends.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from config.demo import directory, names
from config.demo.authority import Authority
from config.demo.directory import Directory
from config.demo.domaincontroller import HOST, LDAPS_PORT, REALM, DomainController
from config.demo.lan import NETWORK, Lan
from config.demo.memberserver import ACCOUNT_NAME, NAS, MemberServer
from config.demo.standing import Standing

SERVER_NAME = f"vras.{REALM.lower()}"


class Company(Standing):
    """A context manager: running inside, gone after it; what is in `share`, the file server's, stays. It has
    to be the first on its LAN, for domain controllers do not move."""

    def __init__(self, lan: Lan, *, cache: Path, share: Path) -> None:
        self._lan = lan
        self._cache = cache
        self._share = share
        self.directory: Directory
        self.controller: DomainController
        self.nas: MemberServer

    def _stand_up(self, undo: ExitStack) -> None:
        archive = directory.kept(self._cache)
        # Its sockets' paths have to be short.
        self._place = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="openvras-dc-")))
        authority = Authority(self._place / "authority")
        self.controller = undo.enter_context(
            DomainController(self._lan, self._place / "dc", authority, archive=archive)
        )
        self.nas = undo.enter_context(
            MemberServer(
                self.controller,
                self._place / "nas",
                share=self._share,
                archive=directory.member(archive),
            )
        )
        undo.enter_context(names.serving(self._lan, self._place / "names", hosts=self.hosts))
        self.directory = Directory(self.controller)

    @property
    def hosts(self) -> dict[str, str]:
        """Addresses of what is on its LAN, by name."""
        return {
            HOST: self.controller.machine.address,
            NAS: self.nas.machine.address,
            SERVER_NAME: self._lan.address,
        }

    def server_env(self) -> dict[str, str]:
        """What a management server on this LAN is told of it."""
        place = self.directory.settings()
        password = self._place / "bind-password"
        password.touch(mode=0o600)
        password.write_text(place.bind_password)
        roles = {
            f"OPENVRAS_DIRECTORY_ROLE_{role.upper().replace('-', '_')}": group
            for role, group in place.roles.items()
        }
        keys = self._place / "replicas.keytab"
        self.controller.export_keytab(keys, ACCOUNT_NAME)
        return {
            "KRB5_CONFIG": str(self.nas.krb5(self._place / "krb5.conf")),
            "OPENVRAS_NAS_URL": self.nas.url,
            "OPENVRAS_NAS_USER": ACCOUNT_NAME,
            "OPENVRAS_NAS_KEYTAB_FILE": str(keys),
            "OPENVRAS_DIRECTORY_URL": f"ldaps://{self.controller.machine.address}:{LDAPS_PORT}",
            "OPENVRAS_DIRECTORY_CA": str(place.authority),
            "OPENVRAS_DIRECTORY_BIND_DN": place.bind_dn,
            "OPENVRAS_DIRECTORY_BIND_PASSWORD_FILE": str(password),
            "OPENVRAS_DIRECTORY_BASE": place.base,
            "OPENVRAS_COMPANY_NETWORKS": f"127.0.0.0/8,{NETWORK}",
            "OPENVRAS_KEYTAB_FILE": str(self.directory.keytab(self._place)),
            **roles,
        }
