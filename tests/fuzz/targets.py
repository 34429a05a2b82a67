"""Every fuzz target by name."""

from collections.abc import Mapping

from tests.fuzz.documents import DOCUMENT_TARGETS
from tests.fuzz.exchange import EXCHANGE_TARGETS
from tests.fuzz.records import RECORD_TARGETS
from tests.fuzz.target import Target
from tests.fuzz.tokens import TOKEN_TARGETS
from tests.fuzz.watermark import WATERMARK_TARGETS

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (*TOKEN_TARGETS, *DOCUMENT_TARGETS, *RECORD_TARGETS, *EXCHANGE_TARGETS, *WATERMARK_TARGETS)
}
