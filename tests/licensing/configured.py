"""A configuration with licences, for their tests."""

from typing import Any

from relay.config import Config, parse_config
from tests.test_config import GOOD


def configured(licence: dict[str, Any] | None = None, licences: dict[str, Any] | None = None) -> Config:
    news = {**GOOD["streams"]["news"], "licence": licence or {}}
    return parse_config({**GOOD, "streams": {"news": news}, "licences": licences or {}}, "test")
