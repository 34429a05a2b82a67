"""Signs of sharing as they reach operators."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from relay.gate.signals import Signal, SignalKind
from relay.sessions.signals import MAX_KEPT, SharingSignals


def signal(number: int) -> Signal:
    return Signal(SignalKind.RATE, f"session-{number:08}", "account-1", "news", float(number), "too early")


def test_signals_are_logged_counted_and_kept() -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("segmentgate_sharing_signals_total", {"kind": "rate"}) or 0.0

    signals, before = SharingSignals(), count()
    with capture_logs() as logs:
        signals.note([signal(1), signal(2)])
    assert list(signals) == [signal(2), signal(1)]
    assert count() == before + 2
    assert [(entry["event"], entry["session"]) for entry in logs] == [("sharing_signal", "session-")] * 2
    assert "00000001" not in str(logs)


def test_only_the_latest_are_kept() -> None:
    signals = SharingSignals()
    with capture_logs():
        signals.note(signal(number) for number in range(MAX_KEPT + 5))
    kept = list(signals)
    assert len(kept) == len(signals) == MAX_KEPT
    assert kept[0] == signal(MAX_KEPT + 4)
