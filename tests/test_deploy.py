"""What is deployed: the sample configuration tells the truth, and the rest fits it."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from prometheus_client.metrics import MetricWrapperBase

from keys.model import TrackType
from relay import config as sections
from relay.config import load_config, parse_config
from relay.control.orders import order_of, read_item
from relay.exchange import settings as exchange
from relay.gate.carriers import DEFAULT_NAMES, Names
from relay.gate.dialects.registry import DIALECTS, options_of
from relay.gate.targets import TargetType
from relay.issuing import names_of
from relay.licensing import settings
from relay.process.supervisor import STOP_GRACE_S
from relay.purchases import settings as purchases
from relay.telemetry import metrics
from relay.watermark import settings as watermark

DEPLOY = Path(__file__).parent.parent / "deploy"
SAMPLE = DEPLOY / "relay.toml"
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
SECTIONS = [
    section
    for section in {**vars(sections), **vars(settings), **vars(exchange), **vars(purchases), **vars(watermark)}.values()
    if isinstance(section, type) and issubclass(section, msgspec.Struct) and section.__struct_fields__
]


def with_examples() -> sections.Config:
    """The sample with its indented examples in place."""
    return parse_config(tomllib.loads(re.sub(r"(?m)^#     ", "", SAMPLE.read_text())), "sample")


def test_the_sample_loads() -> None:
    assert list(load_config(SAMPLE).streams) == ["channel-one"]


def test_what_is_commented_out_is_the_default() -> None:
    text = SAMPLE.read_text()
    settings = re.sub(r"(?m)^# ((?!public_url|also)[a-z_]+ = )", r"\1", text)
    assert settings != text
    assert parse_config(tomllib.loads(settings), "sample") == load_config(SAMPLE)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_is_there(section: type[msgspec.Struct]) -> None:
    text = SAMPLE.read_text()
    for name in section.__struct_fields__:
        own_line, table, inline = rf"^(# +)?{name} =", rf"^(# +)?\[+([a-z.-]+\.)?{name}", rf"[{{,] {name} = "
        assert re.search(rf"(?m){own_line}|{table}|{inline}", text), name


def test_there_is_an_example_of_each_dialect_which_names_its_carriers_and_options() -> None:
    examples = with_examples().tokens.issuers[1:]
    assert [example.dialect for example in examples] == list(DIALECTS)
    for example in examples:
        assert names_of(example) == DEFAULT_NAMES[example.dialect]
        shown = {name for name in ("header", "cookie", "query", "path") if getattr(example, name) is not None}
        assert shown >= {name for name in ("header", "cookie", "query", "path") if getattr(names_of(example), name)}
        kind = DIALECTS[example.dialect]
        files = {f"{name}_file" for name in kind.secrets}
        plain = {name: value for name, value in example.options.items() if name not in files}
        assert files <= set(example.options)
        assert set(plain) | set(kind.secrets) == {option.name for option in fields(kind.options)}
        assert options_of(example.dialect, plain) == kind.options()


def test_there_is_an_example_of_what_is_sold() -> None:
    sold = with_examples().purchases
    assert sold.products == {"season": ("channel-one",)}
    assert [source.name for source in sold.sources] == ["shop"]


def test_there_is_an_example_of_each_system_and_of_the_terms_of_a_track() -> None:
    config = with_examples()
    assert config.licences.widevine
    assert config.licences.playready
    assert config.licences.fairplay
    terms = config.streams["channel-one"].licence.terms()[TrackType.UHD]
    assert terms is not None
    assert not terms.in_clear


def test_there_is_an_example_of_a_key_server_and_of_each_kind_of_packager() -> None:
    config = with_examples()
    server = config.streams["channel-two"].key_server
    assert server
    plain = exchange.KeyServerConfig(url=server.url)
    assert (server.version, server.content_id, server.timeout) == (plain.version, plain.content_id, plain.timeout)
    by_aes, by_rsa = config.packagers
    assert by_aes.key_file
    assert by_rsa.rsa_key


def test_there_is_an_example_of_each_bridge() -> None:
    text = re.sub(r"(?m)^#   (?=\S)", "", SAMPLE.read_text())
    licences = parse_config(tomllib.loads(text), "sample").licences
    assert licences.widevine_bridge
    assert licences.playready_bridge
    assert licences.fairplay_bridge


def test_no_dialect_lacks_names() -> None:
    assert DEFAULT_NAMES.keys() == DIALECTS.keys()
    assert Names() not in DEFAULT_NAMES.values()


def exported(suffixes: dict[str, list[str]]) -> set[str]:
    """The names of all series, of each family with the suffixes of its type."""
    families = [
        family
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
    ]
    return {family.name + suffix for family in families for suffix in suffixes[family.type]}


@pytest.mark.parametrize("path", ["monitoring/alerts.yaml", "monitoring/dashboard.json", "../docs/operations.md"])
def test_every_metric_named_exists(path: str) -> None:
    named = set(re.findall(r"\bsegmentgate_[a-z_]+", (DEPLOY / path).read_text()))
    assert len(named) > 5
    # People speak of a histogram by its family's name.
    assert named <= exported(SUFFIXES if "docs" not in path else {**SUFFIXES, "histogram": [""]})


def test_the_runbook_has_an_order_for_each_type_of_target() -> None:
    items = re.findall(r'`(\{"type": .*?\})`', (DEPLOY.parent / "docs" / "operations.md").read_text())
    orders = [order_of(read_item(item.encode()), now=0.0) for item in items]
    assert {order.target.type for order in orders} == set(TargetType)


def test_the_dashboard_shows_series_of_the_chosen_source() -> None:
    dashboard = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 5
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${source}"
        assert all("segmentgate_" in target["expr"] for target in panel["targets"])


def test_the_promises_have_alerts() -> None:
    rules = (DEPLOY / "monitoring" / "alerts.yaml").read_text()
    expressions = re.findall(r"(?s)expr: (.*?)\n        (?:for|labels):", rules)
    assert len(expressions) == rules.count("- alert:")
    for promise in ("probe_failed", "probe_last_success", "probe_seconds", "ready", "log_age", "key_set_age"):
        assert any(f"segmentgate_{promise}" in expression for expression in expressions), promise


def test_the_nodes_of_the_compose_file_share_a_log_and_keep_journals_of_their_own() -> None:
    config = load_config(DEPLOY / "compose" / "relay.toml")
    compose = (DEPLOY / "compose.yaml").read_text()
    assert config.state.log == "redis://valkey:6379/0"
    assert not config.state.node, "two nodes would have one name"
    for node in ("node-a", "node-b"):
        assert f"{node}:{config.state.directory}" in compose
        assert f"server {node} {node}:{config.edge.listen.port}" in (DEPLOY / "compose" / "haproxy.cfg").read_text()


def test_the_compose_file_brings_the_secrets_that_its_configuration_names() -> None:
    compose = (DEPLOY / "compose.yaml").read_text()
    shared = re.search(r"(?m)^  secrets: \[(.*)\]$", compose)
    assert shared
    named = re.findall(r'"/run/secrets/([^"]+)"', (DEPLOY / "compose" / "relay.toml").read_text())
    assert sorted(named) == sorted(shared[1].split(", "))
    for name in [*named, "site.pem"]:
        assert f"  {name}: {{file: secrets/{name}}}" in compose


def test_the_front_alone_says_who_the_client_is() -> None:
    config = load_config(DEPLOY / "compose" / "relay.toml")
    front = (DEPLOY / "compose" / "haproxy.cfg").read_text()
    assert f"http-request set-header {config.edge.address_header} %[src]" in front
    assert f"subnet: {config.edge.trusted_proxies[0]}" in (DEPLOY / "compose.yaml").read_text()
    assert re.search(rf"httpchk GET /readyz\n(.*\n)*.* check port {config.control.listen.port} ", front)


def test_a_node_has_the_time_to_drain() -> None:
    needed = max(
        load_config(DEPLOY / path).edge.drain.seconds + STOP_GRACE_S for path in ("relay.toml", "compose/relay.toml")
    )
    unit = (DEPLOY / "segmentgate.service").read_text()
    for pattern, text in (
        (r"(?m)^TimeoutStopSec=(\d+)$", unit),
        (r"(?m)^  stop_grace_period: (\d+)s$", (DEPLOY / "compose.yaml").read_text()),
    ):
        given = re.search(pattern, text)
        assert given
        assert int(given[1]) >= needed
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit
    assert re.search(r"(?m)^LimitNOFILE=\d{6,}$", unit)
