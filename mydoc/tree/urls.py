"""Addresses of user data as one tree: an administrator's, one's own, what is shared; the PC's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc.tree import api, myviews, node, putting, sharedapi, sharedviews, views

router = SimpleRouter()
router.register("volumes", api.VolumeTreeViewSet, basename="volume-tree")
router.register("shared", sharedapi.SharedViewSet, basename="shared")

node_patterns = [
    path("mydoc/questions", node.questions),
    path("mydoc/answers/<slug:question>", node.answer),
]

pages = [
    path("volumes/", views.volumes, name="volumes"),
    path("volumes/find/", views.find_in_each, name="find-in-each"),
    path("volumes/<uuid:pk>/", views.volume, name="volume"),
    path("volumes/<uuid:pk>/reason/", views.reason, name="reason"),
    path("volumes/<uuid:pk>/folder/<bytes:path>/", views.folder, name="folder"),
    path("volumes/<uuid:pk>/file/<bytes:path>/", views.file, name="file"),
    path("volumes/<uuid:pk>/find/", views.find, name="find"),
    path("volumes/<uuid:pk>/sharing/<bytes:path>/", views.share, name="share"),
    path("volumes/<uuid:pk>/grants/<int:grant>/withdraw/", views.withdraw, name="withdraw"),
    path("pcs/<uuid:pk>/volumes/", views.client_card, name="client-card"),
    path("my/", myviews.my, name="my"),
    path("my/shared/<int:pk>/<bytes:path>/", sharedviews.shared, name="shared"),
    path(
        "my/shared/<int:pk>/put/<bytes:path>/", putting.in_memory(sharedviews.shared_put), name="shared-put"
    ),
    path("my/shared/<int:pk>/file/<bytes:path>/", sharedviews.shared_file, name="shared-file"),
]
