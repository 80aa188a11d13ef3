"""The composition root as a Django app: it owns the commands that need every other app."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    label = "config"
