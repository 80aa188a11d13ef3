"""Addresses of the registry. `api` are REST routes, `node` the PC's, `pages` the portal's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients import api, node

router = SimpleRouter()
router.register("groups", api.GroupViewSet)
router.register("clients", api.ClientViewSet)
router.register("enrolment-tokens", api.EnrolmentTokenViewSet)
router.register("tokens", api.ApiTokenViewSet, basename="token")
router.register("publisher-keys", api.PublisherKeyViewSet)
router.register("events", api.EventViewSet)

node_patterns = [
    path("installation", node.installation),
    path("enrol", node.enrol),
    path("certificate", node.certificate),
    path("renew", node.renew),
    path("desired", node.desired),
    path("reports/<slug:app>", node.report),
]
