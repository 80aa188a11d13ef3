from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MydocConfig(AppConfig):
    name = "mydoc"
    verbose_name = _("My Doc Manager")

    def ready(self) -> None:
        from django.urls import register_converter

        from mydoc import wishes
        from mydoc.converters import BytePath
        from mydoc.replicas import wishes as replicawishes

        register_converter(BytePath, "bytes")
        wishes.register()
        replicawishes.register()
