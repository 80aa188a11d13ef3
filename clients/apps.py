"""The registry, as Django finds it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ClientsConfig(AppConfig):
    name = "clients"
    verbose_name = _("PCs")

    def ready(self) -> None:
        from clients import openapi  # noqa: F401  (registers itself)
        from clients.devices import policing
        from clients.wifi import networking

        policing.register()
        networking.register()
