"""Addresses of volumes: REST's, the PC's, and where a logon is proven."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc.volumes import api, logon, node

router = SimpleRouter()
router.register("custodians", api.CustodianViewSet)
router.register("volumes", api.VolumeViewSet)
router.register("openings", api.OpeningViewSet)

node_patterns = [
    path("mydoc/key", node.key),
    path("mydoc/recovery", node.recovery),
]

# Of nobody who has logged in: this is where logging on is proven.
doors = [
    path("mydoc/logon", logon.logon, name="mydoc-logon"),
]
