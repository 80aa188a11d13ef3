"""Addresses of the Wi-Fi of groups."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.wifi import api, views

router = SimpleRouter()
router.register("groups", api.GroupWifiViewSet, basename="group-wifi")

pages = [
    path("groups/<int:pk>/wifi/", views.wifi, name="group-wifi"),
]
