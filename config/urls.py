"""The address map: portal, REST, the PC's doors, admin."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from checkout import urls as checkout
from clients import urls as clients
from clients.people.forms import LoginForm
from config import views
from imaging import urls as imaging
from mydoc import urls as mydoc

urlpatterns = [
    path("", views.home, name="home"),
    path(
        "login/",
        LoginView.as_view(
            template_name="login.html", authentication_form=LoginForm, redirect_authenticated_user=True
        ),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", include(clients.pages)),
    path("", include(imaging.pages)),
    path("", include(mydoc.pages)),
    path("", include(checkout.pages)),
    path("healthz", login_not_required(views.healthz), name="healthz"),
    path("i18n/setlang/", login_not_required(set_language), name="set_language"),
    path("admin/", admin.site.urls),
    path(
        "api/v1/",
        include([*clients.rest, *imaging.rest, *mydoc.rest, *checkout.rest]),
    ),
    path("api/schema/", login_not_required(SpectacularAPIView.as_view()), name="schema"),
    path("api/docs/", login_not_required(SpectacularSwaggerView.as_view()), name="api-docs"),
    path(
        "node/v1/",
        include(
            [*clients.node_patterns, *imaging.node_patterns, *mydoc.node_patterns, *checkout.node_patterns]
        ),
    ),
    *mydoc.doors,
]
