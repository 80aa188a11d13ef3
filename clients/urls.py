"""Addresses of the registry, joined from its subjects'. `rest` are programs', `node_patterns` the PC's,
`pages` the portal's."""

from clients.auditlog import urls as auditlog
from clients.devices import urls as devices
from clients.enrolment import urls as enrolment
from clients.groups import urls as groups
from clients.pcs import urls as pcs
from clients.publishers import urls as publishers
from clients.sites import urls as sites
from clients.tokens import urls as tokens
from clients.wifi import urls as wifi

rest = [
    *auditlog.router.urls,
    *devices.router.urls,
    *enrolment.router.urls,
    *groups.router.urls,
    *pcs.router.urls,
    *publishers.router.urls,
    *sites.router.urls,
    *tokens.router.urls,
    *wifi.router.urls,
]

node_patterns = enrolment.node_patterns

pages = (
    [
        *auditlog.pages,
        *devices.pages,
        *enrolment.pages,
        *groups.pages,
        *pcs.pages,
        *publishers.pages,
        *sites.pages,
        *tokens.pages,
        *wifi.pages,
    ],
    "clients",
)
