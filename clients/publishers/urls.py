"""Addresses of publishers' keys."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.publishers import api, views

router = SimpleRouter()
router.register("publisher-keys", api.PublisherKeyViewSet)

pages = [
    path("keys/", views.keys, name="keys"),
    path("keys/<slug:pk>/endorse/", views.key_endorse, name="key-endorse"),
    path("keys/<slug:pk>/revoke/", views.key_revoke, name="key-revoke"),
]
