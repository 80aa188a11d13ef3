"""Addresses of Workgroup Desktop. `rest` are programs', `node_patterns` the PC's, `pages` the portal's."""

from django.contrib.auth.decorators import login_not_required
from django.urls import path
from rest_framework.routers import SimpleRouter

from imaging import api, distributionapi, node, steeringviews, views

router = SimpleRouter()
router.register("images", api.MasterImageViewSet)
router.register("versions", api.ImageVersionViewSet)
router.register("subscriptions", api.SubscriptionViewSet)
router.register("distributions", distributionapi.DistributionViewSet)
router.register("deliveries", distributionapi.DeliveryViewSet)

rest = router.urls

node_patterns = [
    path("imaging/<str:digest>/manifest", node.manifest),
    path("imaging/<str:digest>/frames", node.frames),
    path("imaging/<str:digest>/deltas/<str:base>", node.deltas),
    path("packs-permission/<str:permission>", login_not_required(node.may_read_packs)),
]

pages = (
    [
        path("images/", views.images, name="images"),
        path("images/<int:pk>/", views.image, name="image"),
        path("images/<int:pk>/edit/", views.image_edit, name="image-edit"),
        path("images/<int:pk>/upload/", views.upload, name="upload"),
        path("versions/<int:pk>/retire/", views.retire, name="retire"),
        path("distributions/", views.distributions, name="distributions"),
        path("distributions/new/", views.distribute, name="distribute"),
        path("distributions/<int:pk>/", views.distribution, name="distribution"),
        path("distributions/<int:pk>/retry/", steeringviews.retry, name="retry"),
        path("distributions/<int:pk>/pcs.csv", steeringviews.table, name="distribution-csv"),
        path("distributions/<int:pk>/act/<slug:act>/", steeringviews.steer, name="steer"),
        path("deliveries/<int:pk>/act/<slug:act>/", steeringviews.steer_pc, name="steer-pc"),
        path("distributions/<int:pk>/cancel/", steeringviews.cancel, name="cancel"),
        path("groups/<int:group>/rollback/", views.rollback, name="rollback"),
        path("pcs/<uuid:pk>/rollback/", views.rollback_pc, name="rollback-pc"),
        path("groups/<int:group>/automatic/", views.automatic, name="automatic"),
    ],
    "imaging",
)
