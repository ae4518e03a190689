"""Configuration: read once, strictly, with defaults."""

import re

import msgspec
import pytest

from probatum.errors import Misuse, Refusal
from probatum.nodes.shell.config import (
    FullConfig,
    GatewayConfig,
    InferenceConfig,
    change_config,
    load_any_config,
    load_config,
    load_trust,
    write_config,
)
from probatum.nodes.shell.config_text import decode_text, encode_text, list_settings

OPERATOR = "0x" + "ab" * 20
LEDGER = "http://127.0.0.1:7000"
KINDS = (FullConfig, InferenceConfig, GatewayConfig)
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


@pytest.mark.parametrize("config", EACH, ids=lambda config: type(config).__name__)
def test_the_file_names_every_setting_once_and_explains_it(tmp_path, config):
    write_config(tmp_path, config)
    text = (tmp_path / "node.toml").read_text()
    for field in msgspec.structs.fields(config):
        at = re.findall(rf"^#?{field.name} = .*$", text, re.MULTILINE)
        assert len(at) == 1, field.name
        above = text[: text.index("\n" + at[0])].rsplit("\n\n", 1)[-1]
        assert above.count("\n# ") + above.startswith("# ") >= 1, f"{field.name} is not explained"
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_there_as_a_default_is_the_default(kind):
    """With every # before a setting taken away, the file says what it said before."""
    needed = {} if kind is FullConfig else {"operator": OPERATOR, "ledger": LEDGER}
    plain = kind(**needed)
    opened = re.sub(r"^#(\w+ = )", r"\1", encode_text(plain), flags=re.MULTILINE)
    found = decode_text(opened, kind)
    may_be_absent = {s.name for s in list_settings(kind) if s.default == ""}
    for name in may_be_absent:
        assert getattr(plain, name) is None
        assert getattr(found, name) is not None, "an example that is taken"
    absent = dict.fromkeys(may_be_absent)
    assert msgspec.structs.replace(found, **absent) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_says_what_it_is_and_when_to_change_it(kind):
    for setting in list_settings(kind):
        assert setting.about.says.endswith("."), setting.name
        assert setting.about.change.endswith(".") or setting.name == "operator", setting.name
        if setting.name.endswith("_ms"):
            assert setting.about.unit == "milliseconds"
        if setting.name.endswith("_bytes"):
            assert setting.about.unit == "bytes"
        if setting.name.endswith("_units"):
            assert setting.about.unit == "units"


def test_a_setting_that_nobody_explains_is_a_bug():
    class Bare(msgspec.Struct, tag_field="role", tag="bare"):
        depth: int = 1

    with pytest.raises(Misuse) as raised:
        list_settings(Bare)
    assert raised.value.code == "config.undescribed"


def test_a_change_leaves_the_comments_that_people_wrote(tmp_path):
    config = GatewayConfig(operator=OPERATOR, ledger=LEDGER)
    write_config(tmp_path, config)
    path = tmp_path / "node.toml"
    path.write_text(path.read_text() + "# Alice asked for this, see the ticket.\n")
    changed = msgspec.structs.replace(
        config, ledger="http://127.0.0.1:7001", anonymous_per_s=2.5, endpoint="https://a.example"
    )
    change_config(tmp_path, changed)
    assert load_config(tmp_path, GatewayConfig) == changed
    assert "see the ticket" in path.read_text()
    change_config(tmp_path, config)
    assert load_config(tmp_path, GatewayConfig) == config
    assert "see the ticket" in path.read_text()


def test_a_text_that_cannot_be_changed_by_lines_is_written_anew(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        f'role = "inference"\noperator = "{OPERATOR}"\nledger = "{LEDGER}"\n'
        f'serve = [\n  "{"cd" * 32}",\n]\n'
    )
    config = load_config(tmp_path, InferenceConfig)
    changed = msgspec.structs.replace(config, serve=(*config.serve, "ef" * 32))
    change_config(tmp_path, changed)
    assert load_config(tmp_path, InferenceConfig) == changed


def test_a_short_file_gets_the_setting_that_it_lacks(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(f'role = "gateway"\noperator = "{OPERATOR}"\nledger = "{LEDGER}"\n')
    changed = GatewayConfig(operator=OPERATOR, ledger=LEDGER, anonymous=False)
    change_config(tmp_path, changed)
    assert load_config(tmp_path, GatewayConfig) == changed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("porte = 1", "did you mean port?"),
        ("anonymus = false", "did you mean anonymous?"),
        ("request_byte = 5", "did you mean request_bytes?"),
        ("threads = 2", "there are: host, port"),
        ("[limits]\nx = 1", "there are: host, port"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_one(tmp_path, name, said):
    text = f'role = "gateway"\noperator = "{OPERATOR}"\nledger = "{LEDGER}"\n{name}\n'
    (tmp_path / "node.toml").write_text(text)
    for load in (lambda: load_config(tmp_path, GatewayConfig), lambda: load_any_config(tmp_path)):
        with pytest.raises(Refusal) as refused:
            load()
        assert refused.value.code == "config.unknown-setting"
        assert said in refused.value.hint


def test_a_value_that_is_not_taken_is_refused_with_what_is(tmp_path):
    (tmp_path / "node.toml").write_text('role = "full"\nport = 70000\n')
    with pytest.raises(Refusal) as refused:
        load_config(tmp_path, FullConfig)
    assert "0 to 65_535" in refused.value.hint


@pytest.mark.parametrize("role", ['role = "gateway"', 'role = "king"', "role = 5", "port = 1"])
def test_another_role_is_refused_by_name(tmp_path, role):
    (tmp_path / "node.toml").write_text(role)
    with pytest.raises(Refusal) as refused:
        load_config(tmp_path, FullConfig)
    assert refused.value.code == "config.other-role"


@pytest.mark.parametrize("config", EACH, ids=lambda config: type(config).__name__)
def test_any_role_is_loaded_by_what_it_says(tmp_path, config):
    write_config(tmp_path, config)
    assert load_any_config(tmp_path) == config


@pytest.mark.parametrize("role", ['role = "king"', "role = [5]"])
def test_a_role_that_nobody_has_is_refused_whoever_loads(tmp_path, role):
    (tmp_path / "node.toml").write_text(role)
    with pytest.raises(Refusal) as refused:
        load_any_config(tmp_path)
    assert refused.value.code == "config.other-role"


@pytest.mark.parametrize(
    "text",
    [
        'role = "full"\nport = 70000',
        'role = "full"\nport = "7000"',
        'role = "full"\nblock_interval_ms = 1',
        'role = "full"\nendpoint = "http://x/path"',
        "role =",
        "\x00",
        "#" * 300_000,
        'role = "full"\nhost = ""',
    ],
)
def test_what_is_wrong_is_refused_by_name(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(Refusal) as refused:
        load_config(tmp_path, FullConfig)
    assert refused.value.code == "config.malformed"
    assert "node.toml" in refused.value.message


def test_what_is_missing_is_refused(tmp_path):
    for load, hint in (
        (lambda: load_config(tmp_path, FullConfig), "home folder"),
        (lambda: load_trust(tmp_path), "if a home has lost it"),
    ):
        with pytest.raises(Refusal) as refused:
            load()
        assert refused.value.code == "config.missing"
        assert hint in refused.value.hint
