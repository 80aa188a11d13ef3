"""What REST doors of many subjects share."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)


def reason_of(request: Request) -> str:
    """Why a program does it. Raises ValidationError."""
    wish = ReasonSerializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return str(wish.validated_data["reason"])
