"""The metrics. No label ever takes a value that a client chooses.

``multiprocess_mode`` of a gauge says what several worker processes show together.
"""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

SERVED = Counter("segmentgate_served_total", "Answers sent to players, by kind of resource.", ["kind"])
DENIED = Counter("segmentgate_denied_total", "Requests refused by the gate, by reason.", ["reason"])
FAILED = Counter("segmentgate_failed_total", "Requests that failed, by error code.", ["code"])
CUT = Counter("segmentgate_cut_total", "Responses and channels cut in flight by a revocation.")
REVOCATION_APPLY = Histogram(
    "segmentgate_revocation_apply_seconds",
    "From a revocation accepted, by the clock of the node that took it, to applied and cut here.",
    ["path"],
    buckets=(*_FAST, 5.0, 10.0, 30.0, 60.0),
)
LOG_AGE = Gauge(
    "segmentgate_log_age_seconds",
    "Since when this node may have missed revocations taken elsewhere.",
    multiprocess_mode="livemax",
)
LOG_LAG = Gauge(
    "segmentgate_log_lag_events", "Events that other nodes have and this one has not.", multiprocess_mode="livemax"
)
LOG_DROPPED = Counter("segmentgate_log_dropped_total", "Messages of the shared log not read or not sent.", ["why"])
LOG_OFFERED = Counter("segmentgate_log_offered_total", "Events offered to the shared log once more.")
JOURNAL_OWED = Gauge(
    "segmentgate_journal_owed_events",
    "Events applied here that the journal could not take yet.",
    multiprocess_mode="livesum",
)
JOURNAL_DROPPED = Counter("segmentgate_journal_dropped_total", "Events given up because no journal can hold them.")
REVOCATION_CUT = Histogram(
    "segmentgate_revocation_cut_seconds", "To find and cut what events just applied have revoked.", buckets=_FAST
)
REVOKED_BY_TYPE = Gauge(
    "segmentgate_revocations_by_type", "Live revocations, by type of target.", ["type"], multiprocess_mode="livemax"
)
NODE_LAG = Gauge(
    "segmentgate_node_lag_seconds",
    "Since when each other node was last heard of.",
    ["node"],
    multiprocess_mode="livemax",
)
READY = Gauge(
    "segmentgate_ready",
    "1 while this node knows every revocation taken elsewhere, as far as it can tell.",
    multiprocess_mode="livemin",
)
FEEDS = Gauge("segmentgate_feeds", "Operators' event feeds open now.", multiprocess_mode="livesum")
PROBE = Histogram(
    "segmentgate_probe_seconds",
    "From a synthetic session's revocation to its refusal here, its response cut, its report from every node.",
    ["step"],
    buckets=_FAST,
)
PROBE_FAILED = Counter("segmentgate_probe_failed_total", "Probes that did not reach a step.", ["step"])
PROBE_SUCCESS = Gauge(
    "segmentgate_probe_last_success_timestamp_seconds", "When a probe last reached every step.", multiprocess_mode="max"
)
SECURITY_EVENTS = Counter("segmentgate_security_events_total", "Security event tokens received, by result.", ["result"])
MAKE = Histogram("segmentgate_segment_make_seconds", "To read and protect a segment on a miss.", buckets=_FAST)
CACHE_BYTES = Gauge("segmentgate_cache_bytes", "Protected bytes held in memory.", multiprocess_mode="livesum")
CACHE_HITS = Gauge("segmentgate_cache_hits", "Segment cache hits since start.", multiprocess_mode="livesum")
CACHE_MISSES = Gauge("segmentgate_cache_misses", "Segment cache misses since start.", multiprocess_mode="livesum")
REVOKED = Gauge("segmentgate_revocations", "Live revocations.", multiprocess_mode="livemax")
OPEN = Gauge("segmentgate_open_responses", "Responses and channels open now.", multiprocess_mode="livesum")
LIVE = Gauge(
    "segmentgate_live_sessions", "Sessions that asked for anything in the last minute.", multiprocess_mode="livesum"
)
LIMITED = Counter("segmentgate_limited_total", "Streams that a limit refused or ended, by how.", ["how"])
LEASES_ALONE = Counter("segmentgate_leases_alone_total", "Streams admitted without asking the shared leases.")
LEASE_OUTAGES = Counter("segmentgate_lease_outages_total", "Times that the shared leases went out of reach.")
RECORDS_DROPPED = Counter(
    "segmentgate_session_records_dropped_total", "Session records that the other nodes were never told."
)
UNMARKED = Counter(
    "segmentgate_watermark_unmarked_total",
    "Segments of watermarked streams served without the variant that the code asks for, by what was missing.",
    ["missing"],
)
SERVED_RANGES_DROPPED = Counter(
    "segmentgate_watermark_ranges_dropped_total", "Sessions of which it was not kept what they were served."
)
WEBHOOKS = Counter(
    "segmentgate_webhooks_total", "Attempts to call a webhook, by its name and result.", ["webhook", "result"]
)
WEBHOOK_LAG = Gauge(
    "segmentgate_webhook_lag_seconds",
    "For how long each webhook has owed its oldest event.",
    ["webhook"],
    multiprocess_mode="livemax",
)
SIGNALS = Counter("segmentgate_sharing_signals_total", "Signs of shared sessions, by kind.", ["kind"])
KEY_SET_AGE = Gauge(
    "segmentgate_key_set_age_seconds",
    "Since when each pinned key set was last fetched, by its place.",
    ["set"],
    multiprocess_mode="livemax",
)
STATUS_LIST_AGE = Gauge(
    "segmentgate_status_list_age_seconds",
    "Since when each status list was last fetched, by its place.",
    ["list"],
    multiprocess_mode="livemax",
)
