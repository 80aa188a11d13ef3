"""Addresses of the audit log."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.auditlog import api, views

router = SimpleRouter()
router.register("events", api.EventViewSet)

pages = [
    path("audit/", views.audit, name="audit"),
]
