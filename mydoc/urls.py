"""Addresses of My Doc Manager. `router` are REST routes, `node` the PC's, `doors` the client VM's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc import api, asknode, logon, node

router = SimpleRouter()
router.register("custodians", api.CustodianViewSet)
router.register("volumes", api.VolumeViewSet)
router.register("openings", api.OpeningViewSet)

node_patterns = [
    path("mydoc/key", node.key),
    path("mydoc/recovery", node.recovery),
    path("mydoc/questions", asknode.questions),
    path("mydoc/answers/<slug:question>", asknode.answer),
]

# Of nobody who has logged in: this is where logging on is proven.
doors = [path("mydoc/logon", logon.logon, name="mydoc-logon")]
