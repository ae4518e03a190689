"""Who runs the models that other programs run: configuration, engines, doctor (`TEXT-2`)."""

import queue

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.nodes.inference.text_shelf import TextShelf, weigh_text
from probatum.nodes.inference.upstreams import open_upstreams
from probatum.nodes.shell.config import InferenceConfig, load_config, write_config
from probatum.ops.inspect_home import inspect_home
from probatum.protocol.texts import TextQuestion, make_question, read_answer
from tests.llama_servers import serve, write_tiny
from tests.upstream_packages import RELAY, TINY, write_upstream

OPERATOR = {"operator": "0x" + "ab" * 20, "ledger": "http://127.0.0.1:9"}
URL = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_upstream(tmp_path_factory.mktemp("packages") / "tiny")


def open_one(package, lines, keys):
    return open_upstreams({package.digest: package.manifest}, lines, keys)


def refuse(package, lines, keys):
    with pytest.raises(Refusal) as caught:
        open_one(package, lines, keys)
    return caught.value.code


def test_each_package_has_its_place(package, tmp_path):
    digest = package.digest.hex()
    assert open_one(package, (f"{digest} {URL}",), tmp_path).keys() == {package.digest}
    assert refuse(package, (), tmp_path) == "config.missing-upstream"
    assert refuse(package, (f"{'0' * 64} {URL}",), tmp_path) == "config.missing-upstream"
    assert refuse(package, (f"{digest} {URL}",) * 2, tmp_path) == "config.doubled-upstream"


def test_a_key_is_readable_by_its_owner_alone(package, tmp_path):
    line = f"{package.digest.hex()} {URL} service.key"
    assert refuse(package, (line,), tmp_path) == "key.missing"
    path = tmp_path / "service.key"
    path.write_text("s3cret\n")
    path.chmod(0o644)
    assert refuse(package, (line,), tmp_path) == "key.loose-permissions"
    path.chmod(0o600)
    assert open_one(package, (line,), tmp_path)
    for wrong in ("", "two\nlines", "s\u00e9cret", "x" * 5000):
        path.write_text(wrong)
        assert refuse(package, (line,), tmp_path) == "key.malformed"


@pytest.mark.parametrize(
    "line", ["", "ab http://x", "0" * 64, "0" * 64 + " http://x ../key", "0" * 64 + " ftp://x"]
)
def test_a_line_of_another_form_is_refused(tmp_path, line):
    write_config(tmp_path, InferenceConfig(**OPERATOR, upstreams=(line,)))
    with pytest.raises(Refusal) as caught:
        load_config(tmp_path, InferenceConfig)
    assert caught.value.code == "config.malformed"
    assert "upstreams" in caught.value.hint


def test_the_shelf_writes_by_the_engine_and_goes_on_with_nobodys_text(package, tmp_path):
    question = make_question(TextQuestion(prompt=(5, 6, 7), limit=9, temperature=0.0, top_k=5))
    with serve(write_tiny(tmp_path / "tiny.gguf")) as url:
        engines = open_one(package, (f"{package.digest.hex()} {url}",), tmp_path)
        shelf = TextShelf({package.digest: package}, engines, threads=1)
        done, heard = queue.SimpleQueue(), []
        shelf.write(package.digest, question, bytes(32), (), heard.append, done.put)
        text = read_answer(done.get(timeout=20))
        with pytest.raises(Refusal) as caught:
            shelf.write(package.digest, question, bytes(32), (1,), heard.append, done.put)
        shelf.close()
    assert caught.value.code == "text.wrong-prefix"
    assert text.ended
    assert sum(heard, ()) == text.ids
    assert weigh_text(TINY, 1000) == 0, "another program's memory"


def rows_of(home):
    return {row.check: row for row in inspect_home(home)[1]}


def test_doctor_asks_the_engine_what_it_is(tmp_path):
    package = write_upstream(tmp_path / "draft")
    relay = write_upstream(tmp_path / "relay", RELAY)
    home = tmp_path / "home"
    (home / "packages").mkdir(parents=True)
    for one in (package, relay):
        one.folder.rename(home / "packages" / one.digest.hex())
    lines = (f"{relay.digest.hex()} https://api.example.org/v1",)
    with serve(write_tiny(tmp_path / "tiny.gguf")) as url:
        mine = (f"{package.digest.hex()} {url}", *lines)
        write_config(home, InferenceConfig(**OPERATOR, upstreams=mine))
        rows = inspect_home(home)[1]
        said = [row for row in rows if row.check.startswith("upstream of")]
        assert sorted(row.status for row in said) == ["ok", "ok"]
        assert any("64 tokens" in row.detail for row in said)
        assert any("closed service" in row.detail for row in said)
    nowhere = (f"{package.digest.hex()} http://127.0.0.1:9", *lines)
    write_config(home, InferenceConfig(**OPERATOR, upstreams=nowhere))
    said = [row for row in inspect_home(home)[1] if row.check.startswith("upstream of")]
    assert {row.status for row in said} == {"ok", "fail"}
    write_config(home, InferenceConfig(**OPERATOR))
    said = [row for row in inspect_home(home)[1] if row.check.startswith("upstream of")]
    assert {row.status for row in said} == {"fail"}
    assert all("config.missing-upstream" in row.detail for row in said)


def test_a_relay_of_the_same_name_is_another_package(tmp_path):
    one = write_upstream(tmp_path / "a", RELAY)
    other = write_upstream(tmp_path / "b", msgspec.structs.replace(RELAY, served_as="else"))
    assert one.digest != other.digest
