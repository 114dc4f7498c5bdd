"""What Prometheus reads, of the web and of the dispatcher."""

from prometheus_client import Counter, Histogram

REQUESTS = Histogram(
    "amebo_http_request_duration_seconds",
    "Seconds from a request to its response, by route.",
    ["route", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
PUBLISHED = Counter("amebo_events_published_total", "Events stored, repeats not counted.", ["action"])
DELIVERIES = Counter("amebo_deliveries_total", "Attempts to deliver, by the gist's status after it.", ["result"])
