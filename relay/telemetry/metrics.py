"""The metrics. No label ever takes a value that a client chooses."""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

SERVED = Counter("segmentgate_served_total", "Answers sent to players, by kind of resource.", ["kind"])
DENIED = Counter("segmentgate_denied_total", "Requests refused by the gate, by reason.", ["reason"])
FAILED = Counter("segmentgate_failed_total", "Requests that failed, by error code.", ["code"])
CUT = Counter("segmentgate_cut_total", "Responses and channels cut in flight by a revocation.")
REVOCATION = Histogram(
    "segmentgate_revocation_apply_seconds", "From a revocation accepted to applied and cut here.", buckets=_FAST
)
MAKE = Histogram("segmentgate_segment_make_seconds", "To read and protect a segment on a miss.", buckets=_FAST)
CACHE_BYTES = Gauge("segmentgate_cache_bytes", "Protected bytes held in memory.")
CACHE_HITS = Gauge("segmentgate_cache_hits", "Segment cache hits since start.")
CACHE_MISSES = Gauge("segmentgate_cache_misses", "Segment cache misses since start.")
REVOKED = Gauge("segmentgate_revocations", "Live revocations.")
OPEN = Gauge("segmentgate_open_responses", "Responses and channels open now.")
