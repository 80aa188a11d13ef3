"""What REST doors of many subjects share."""

from typing import Any

from rest_framework import serializers


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)
