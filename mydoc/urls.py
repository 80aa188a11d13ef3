"""Addresses of My Doc Manager, joined from its subjects'. `rest` are programs', `node_patterns` the PC's,
`pages` the portal's, `doors` the client VM's."""

from mydoc.losses import urls as losses
from mydoc.replicas import urls as replicas
from mydoc.restorations import urls as restorations
from mydoc.tree import urls as tree
from mydoc.upkeep import urls as upkeep
from mydoc.volumes import urls as volumes

rest = [
    *losses.router.urls,
    *replicas.router.urls,
    *restorations.router.urls,
    *tree.router.urls,
    *upkeep.router.urls,
    *volumes.router.urls,
]

node_patterns = [
    *losses.node_patterns,
    *replicas.node_patterns,
    *tree.node_patterns,
    *volumes.node_patterns,
]

# Of nobody who has logged in: this is where logging on is proven.
doors = volumes.doors

pages = (
    [
        *losses.pages,
        *replicas.pages,
        *restorations.pages,
        *tree.pages,
        *upkeep.pages,
    ],
    "mydoc",
)
