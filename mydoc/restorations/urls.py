"""Addresses of what comes back."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc.restorations import api, ownapi, ownviews, views

router = SimpleRouter()
router.register("my-volumes", ownapi.OwnVolumeViewSet, basename="my-volume")
router.register("restorations", api.RestorationViewSet)

pages = [
    path("volumes/<uuid:pk>/restore/", views.restore, name="restore"),
    path("restorations/<uuid:pk>/stop/", views.stop, name="stop-restoring"),
    path("my/data/<uuid:pk>/<bytes:path>/", ownviews.earlier, name="earlier"),
    path("my/data/<uuid:pk>/versions/<bytes:path>/", ownviews.versions, name="versions"),
    path("my/data/<uuid:pk>/file/<bytes:path>/", ownviews.recalled_file, name="recalled-file"),
    path("my/data/<uuid:pk>/zip/<bytes:path>/", ownviews.recalled_folder, name="recalled-folder"),
    path("my/data/<uuid:pk>/put-back/<bytes:path>/", ownviews.put_back, name="put-back"),
]
