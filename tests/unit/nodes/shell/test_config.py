"""Configuration: read once, strictly, with defaults."""

import pytest

from probatum.errors import Refusal
from probatum.nodes.shell.config import (
    FullConfig,
    GatewayConfig,
    InferenceConfig,
    load_config,
    load_trust,
    write_config,
)

OPERATOR = "0x" + "ab" * 20
LEDGER = "http://127.0.0.1:7000"
EACH = [
    FullConfig(port=7000, block_interval_ms=200),
    InferenceConfig(operator=OPERATOR, ledger=LEDGER, serve=("cd" * 32,), price_units=5),
    InferenceConfig(operator=OPERATOR, ledger=LEDGER),
    GatewayConfig(operator=OPERATOR, ledger=LEDGER, endpoint="https://example.org", host="::1"),
]


@pytest.mark.parametrize("config", EACH, ids=lambda config: type(config).__name__)
def test_what_is_written_is_read(tmp_path, config):
    write_config(tmp_path, config)
    assert load_config(tmp_path, type(config)) == config


@pytest.mark.parametrize(
    "text",
    [
        'role = "gateway"',
        'role = "full"\nporte = 1',
        'role = "full"\nport = 70000',
        'role = "full"\nport = "7000"',
        'role = "full"\nblock_interval_ms = 1',
        'role = "full"\nendpoint = "http://x/path"',
        "role =",
        "\x00",
        "#" * 70_000,
    ],
)
def test_what_is_wrong_is_refused_by_name(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(Refusal) as refused:
        load_config(tmp_path, FullConfig)
    assert refused.value.code == "config.malformed"
    assert "node.toml" in refused.value.message


def test_what_is_missing_is_refused(tmp_path):
    for load in (lambda: load_config(tmp_path, FullConfig), lambda: load_trust(tmp_path)):
        with pytest.raises(Refusal) as refused:
            load()
        assert refused.value.code == "config.missing"
