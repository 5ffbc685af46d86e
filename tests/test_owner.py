"""Tokens that their owner chose himself: the store has exactly those, and leaves all others alone."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from appliance import owner
from appliance.__main__ import main
from appliance.store import tokens, visit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def adopt(store: Path, **wanted: tuple[str, Sequence[str]]) -> int:
    return owner.adopt_tokens(store, {name: (digest(token), scopes) for name, (token, scopes) in wanted.items()})


def bearer(store: Path, token: str) -> tuple[str, frozenset[str]] | None:
    with visit(store) as journal:
        found = journal.read(lambda db: tokens.authenticate(db, digest(token)))
    return None if found is None else (found.name, found.scopes)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "modemhub.db"


def test_they_let_in_and_doing_it_again_changes_nothing(store: Path) -> None:
    assert adopt(store, lamp=("t1", ["send"]), me=("t2", ["admin"])) == 2
    assert bearer(store, "t1") == ("lamp", frozenset({"send"}))
    assert adopt(store, me=("t2", ["admin"]), lamp=("t1", ["send"])) == 0


def test_a_changed_one_replaces_and_one_that_is_gone_is_revoked(store: Path) -> None:
    adopt(store, lamp=("t1", ["send"]), me=("t2", ["admin"]))
    assert adopt(store, lamp=("t3", ["send"])) == 2
    assert bearer(store, "t1") is None
    assert bearer(store, "t2") is None
    assert bearer(store, "t3") == ("lamp", frozenset({"send"}))


def test_other_scopes_are_a_change(store: Path) -> None:
    adopt(store, lamp=("t1", ["send"]))
    assert adopt(store, lamp=("t1", ["inbox"])) == 1
    assert bearer(store, "t1") == ("lamp", frozenset({"inbox"}))


def test_one_that_stood_here_before_comes_back(store: Path) -> None:
    adopt(store, lamp=("t1", ["send"]))
    adopt(store)
    assert bearer(store, "t1") is None
    assert adopt(store, shop=("t1", ["send"])) == 1
    assert bearer(store, "t1") == ("shop", frozenset({"send"}))


def test_two_may_exchange_their_tokens(store: Path) -> None:
    adopt(store, a=("t1", ["send"]), b=("t2", ["inbox"]))
    adopt(store, a=("t2", ["send"]), b=("t1", ["inbox"]))
    assert bearer(store, "t2") == ("a", frozenset({"send"}))
    assert bearer(store, "t1") == ("b", frozenset({"inbox"}))


def test_tokens_made_otherwise_stay(store: Path) -> None:
    made = owner.create_token(store, name="grafana", scopes=["status"])
    adopt(store, lamp=("t1", ["send"]))
    adopt(store)
    assert bearer(store, made) == ("grafana", frozenset({"status"}))


def test_a_name_of_the_file_is_the_files(store: Path) -> None:
    made = owner.create_token(store, name="lamp", scopes=["admin"])
    adopt(store, lamp=("t1", ["send"]))
    assert bearer(store, made) is None
    assert bearer(store, "t1") == ("lamp", frozenset({"send"}))


def test_a_name_that_was_given_away_meanwhile_is_left_alone(store: Path) -> None:
    adopt(store, lamp=("t1", ["send"]))
    with visit(store) as journal:
        journal.write(tokens.revoke, name="lamp")
    made = owner.create_token(store, name="lamp", scopes=["inbox"])
    adopt(store)
    assert bearer(store, made) == ("lamp", frozenset({"inbox"}))


def test_the_hub_has_an_owner_then(store: Path) -> None:
    claim = store.with_name("CLAIM.txt")
    claim.write_text("…", encoding="utf-8")
    adopt(store)
    assert claim.exists()
    adopt(store, lamp=("t1", ["send"]))
    assert not claim.exists()


def test_a_power_cut_before_the_store_is_made_good(store: Path) -> None:
    adopt(store, lamp=("t1", ["send"]))
    # what the file beside the store holds when the power is cut on the way to another token
    both = {
        name: {"digest": digest(token).hex(), "scopes": ["send"]} for name, token in (("lamp", "t1"), ("shop", "t2"))
    }
    store.with_name(owner.ADOPTED).write_text(json.dumps({"store": 0, "tokens": both}), encoding="utf-8")
    adopt(store, shop=("t2", ["send"]))
    assert bearer(store, "t1") is None
    assert bearer(store, "t2") is not None
    adopt(store)
    assert bearer(store, "t2") is None


def test_whoever_starts_the_hub_sees_that_there_is_nothing_to_do(store: Path) -> None:
    adopt(store, lamp=("t1", ["send", "inbox"]))
    told = json.loads(store.with_name(owner.ADOPTED).read_text(encoding="utf-8"))
    lamp = {"digest": digest("t1").hex(), "scopes": ["inbox", "send"]}
    assert told == {"store": store.stat().st_ino, "tokens": {"lamp": lamp}}


def test_the_command_reads_a_file(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, file = store.with_name("modemhub.toml"), store.with_name("tokens.json")
    config.write_text(f"[store]\npath = {json.dumps(str(store))}\n", encoding="utf-8")
    file.write_text(json.dumps({"lamp": {"digest": digest("t1").hex(), "scopes": ["send"]}}), encoding="utf-8")
    assert main(["token", "adopt", "--config", str(config), str(file)]) == 0
    assert bearer(store, "t1") == ("lamp", frozenset({"send"}))
    assert capsys.readouterr().out == "1 changed\n"


@pytest.mark.parametrize(
    "content",
    [
        "[]", "{", '{"mqtt": {"digest": "", "scopes": []}}', '{"a": {"digest": "zz", "scopes": ["send"]}}',
        '{"a": {"digest": "00", "scopes": ["all"]}}', '{"a": 1}',
    ],
)  # fmt: skip
def test_what_is_no_list_of_tokens_changes_nothing(store: Path, content: str) -> None:
    config, file = store.with_name("modemhub.toml"), store.with_name("tokens.json")
    config.write_text(f"[store]\npath = {json.dumps(str(store))}\n", encoding="utf-8")
    file.write_text(content, encoding="utf-8")
    assert main(["token", "adopt", "--config", str(config), str(file)]) == 1
    assert not store.exists()
