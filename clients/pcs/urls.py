"""Addresses of PCs."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.pcs import api, views

router = SimpleRouter()
router.register("clients", api.ClientViewSet)

pages = [
    path("pcs/", views.pcs, name="pcs"),
    path("pcs/bulk/", views.bulk, name="bulk"),
    path("pcs/<uuid:pk>/", views.pc, name="pc"),
    path("pcs/<uuid:pk>/approve/", views.approve, name="approve"),
    path("pcs/<uuid:pk>/move/", views.move, name="move"),
    path("pcs/<uuid:pk>/assign/", views.assign, name="assign"),
    path("pcs/<uuid:pk>/revoke/", views.revoke, name="revoke"),
]
