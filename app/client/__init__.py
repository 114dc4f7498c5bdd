"""For programs that publish to Amebo or receive its webhooks: nothing here knows the service."""

from app.client.publishing import (
    AmeboError,
    AmeboRefused,
    AmeboUnavailable,
    Client,
    Detail,
    Draft,
    NotAmebo,
    Published,
    Refused,
    Unauthorized,
)
from app.client.webhooks import BadWebhook, Webhook, verify, verify_signature

__all__ = [
    "AmeboError",
    "AmeboRefused",
    "AmeboUnavailable",
    "BadWebhook",
    "Client",
    "Detail",
    "Draft",
    "NotAmebo",
    "Published",
    "Refused",
    "Unauthorized",
    "Webhook",
    "verify",
    "verify_signature",
]
