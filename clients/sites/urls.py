"""Addresses of sites."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.sites import api, views

router = SimpleRouter()
router.register("sites", api.SiteViewSet)

pages = [
    path("sites/", views.sites, name="sites"),
    path("sites/<int:pk>/", views.site, name="site"),
]
