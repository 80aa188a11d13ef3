"""Addresses of the policies of devices."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.devices import api, views

router = SimpleRouter()
router.register("groups", api.GroupPolicyViewSet, basename="group-policy")
router.register("clients", api.ClientDevicesViewSet, basename="client-devices")
router.register("users", api.UserViewSet, basename="user")

pages = [
    path("pcs/<uuid:pk>/devices/<slug:bus>/<str:key>/", views.why, name="device-why"),
    path("policies/<slug:scope>/<slug:pk>/", views.policy, name="policy"),
    path("policies/<slug:scope>/<slug:pk>/change/", views.change, name="policy-change"),
    path("policies/<slug:scope>/<slug:pk>/rules/<int:place>/", views.rule, name="policy-rule"),
    path("policies/<slug:scope>/<slug:pk>/preview/", views.preview, name="policy-preview"),
    path("policies/<slug:scope>/<slug:pk>/usbguard/", views.usbguard_text, name="policy-usbguard"),
]
