"""The worker's app. Tasks sweep rows in a state; a message only makes a sweep come sooner."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
app = Celery("openvras")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
