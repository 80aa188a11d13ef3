"""Addresses of one's own tokens."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.tokens import api, views

router = SimpleRouter()
router.register("tokens", api.ApiTokenViewSet, basename="token")

pages = [
    path("my/tokens/", views.api_tokens, name="api-tokens"),
    path("my/tokens/<slug:pk>/delete/", views.api_token_delete, name="api-token-delete"),
]
