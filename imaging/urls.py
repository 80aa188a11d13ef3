"""Addresses of Workgroup Desktop. `router` are REST routes, `node` the PC's, `pages` the portal's."""

from django.contrib.auth.decorators import login_not_required
from django.urls import path
from rest_framework.routers import SimpleRouter

from imaging import api, node

router = SimpleRouter()
router.register("images", api.MasterImageViewSet)
router.register("versions", api.ImageVersionViewSet)
router.register("subscriptions", api.SubscriptionViewSet)
router.register("distributions", api.DistributionViewSet)
router.register("deliveries", api.DeliveryViewSet)

node_patterns = [
    path("imaging/<str:digest>/manifest", node.manifest),
    path("imaging/<str:digest>/frames", node.frames),
    path("packs-permission/<str:permission>", login_not_required(node.may_read_packs)),
]
