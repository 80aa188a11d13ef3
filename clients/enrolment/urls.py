"""Addresses of enrolment: its tokens', and the PC's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.enrolment import api, node, views

router = SimpleRouter()
router.register("enrolment-tokens", api.EnrolmentTokenViewSet)

node_patterns = [
    path("installation", node.installation),
    path("enrol", node.enrol),
    path("certificate", node.certificate),
    path("renew", node.renew),
    path("desired", node.desired),
    path("reports/<slug:app>", node.report),
]

pages = [
    path("enrolment/", views.enrolment, name="enrolment"),
    path("enrolment/<slug:pk>/delete/", views.enrolment_delete, name="enrolment-delete"),
]
