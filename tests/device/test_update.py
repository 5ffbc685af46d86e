"""What may be installed, how it comes here, and that it is installed once."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from image.device import download
from image.device.__main__ import main
from image.device.download import Index, NotFetched, Web
from image.device.release import Manifest, Running, Version, refusal
from image.device.rim import write
from image.device.system import COMPATIBLE
from image.device.tell import Board
from image.device.trial import Before, State
from image.device.update import report, words_of
from image.device.updater import Refused, Updater
from image.device.window import timer
from tests.authority import Authority
from tests.device.world import PowerCut, Rebooting, Release, World

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = Release("0.1.0", "old")
NEW = Release("0.2.0", "new")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "device", slots={"A": OLD})
    made.live()
    made.clock += 600
    return made


# ------------------------------------------------------------------------------------------------------ versions


ORDER = [
    "0.1.0.dev1", "0.1.0a1", "0.1.0-beta.2", "0.1.0rc1", "0.1.0-rc.2", "0.1.0", "0.1.1", "0.2", "0.10.0", "1.0~rc1",
    "v1.0.0", "1.0.0.1", "2025.1",
]  # fmt: skip


def test_versions_are_compared_as_people_mean_them() -> None:
    read = [Version.of(text) for text in ORDER]
    assert sorted(read) == read
    assert len(set(read)) == len(read)
    assert Version.of("1.2") == Version.of("1.2.0") == Version.of(" v1.2.0+build.7 ")


@pytest.mark.parametrize("text", ["", "one", "1.", "1..2", "1.0-foo", "1.0; rm", "1.0\n2.0", "١.٢", "1.2.3.4.5.6"])
def test_what_is_no_version_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        Version.of(text)


releases = st.builds(
    "{}.{}.{}{}".format, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "rc1", ".dev2"])
)


@budget(deadline=None)
@given(here=releases, there=releases, builds=st.tuples(st.sampled_from("ab"), st.sampled_from("ab")))
def test_nothing_older_is_ever_admitted_and_what_is_admitted_never_goes_in_a_circle(
    here: str, there: str, builds: tuple[str, str]
) -> None:
    def admitted(old: str, old_build: str, new: str, new_build: str) -> bool:
        return refusal(Manifest("board", new, new_build), Running("board", old, old_build)) is None

    if admitted(here, builds[0], there, builds[1]):
        assert Version.of(there) >= Version.of(here)
        assert (Version.of(there), builds[1]) != (Version.of(here), builds[0])
    if Version.of(there) > Version.of(here):
        assert not admitted(there, builds[0], here, builds[1])


RUNNING = Running(COMPATIBLE, "0.2.0", "here", schema=3)


@pytest.mark.parametrize(
    ("bundle", "running", "says"),
    [
        (Manifest(COMPATIBLE, "0.3.0", "x"), RUNNING, None),
        (Manifest(COMPATIBLE, "0.2.0", "other"), RUNNING, None),
        (Manifest(COMPATIBLE, "0.3.0", "x", readable_by=3), RUNNING, None),
        (Manifest(COMPATIBLE, "0.2.0", "here"), RUNNING, "it is what runs"),
        (Manifest(COMPATIBLE, "0.1.9", "x"), RUNNING, "it is older: version 0.1.9; 0.2.0 runs"),
        (Manifest(COMPATIBLE, "0.2.0rc1", "x"), RUNNING, "it is older"),
        (Manifest("modemhub-other", "0.3.0", "x"), RUNNING, "another board: modemhub-other"),
        (Manifest("", "0.3.0", "x"), RUNNING, "another board: none named"),
        (Manifest(COMPATIBLE, "", "x"), RUNNING, "no version"),
        (Manifest(COMPATIBLE, "new", "x"), RUNNING, "no version"),
        (Manifest(COMPATIBLE, "0.3.0", "x", readable_by=4), RUNNING, "no way back"),
        (Manifest(COMPATIBLE, "0.3.0", "x"), replace(RUNNING, on_trial=True), "still on trial"),
    ],
)
def test_what_is_refused_and_why(bundle: Manifest, running: Running, says: str | None) -> None:
    why = refusal(bundle, running)
    assert (why is None) if says is None else says in (why or "")


# ------------------------------------------------------------------------------------------------------ installing


@pytest.mark.parametrize(
    ("release", "says"),
    [
        (Release("0.0.9"), "older"),
        (Release("0.1.0", "old"), "what runs"),
        (Release("0.2.0", compatible="modemhub-toaster"), "another board"),
        (Release("0.2.0", signed=False), "not trusted: signature verification failed"),
    ],
)
def test_a_refused_bundle_touches_nothing(world: World, release: Release, says: str) -> None:
    before = (world.order, dict(world.left), dict(world.slots))
    with pytest.raises(Refused, match=says):
        world.updater.install(world.file(release))
    assert (world.order, world.left, world.slots) == before
    assert world.system.ledger.trial is None
    assert not [call for call in world.calls if call[:2] == ("rauc", "install")]


@pytest.mark.parametrize("release", [Release("0.0.9"), Release("0.1.0", "old"), Release("0.2.0", compatible="other")])
def test_raucs_handler_refuses_too_whoever_asked(world: World, release: Release) -> None:
    """`rauc install` by hand, with --ignore-compatible or --ignore-version-limit."""
    before = (world.order, dict(world.left), dict(world.slots))
    done = world.run(["rauc", "install", str(world.file(release))], 1)
    assert done.returncode == 1
    assert (world.order, world.left, world.slots) == before


def test_rauc_that_would_write_the_running_slot_is_stopped(world: World) -> None:
    words = {
        "RAUC_META_MODEMHUB_COMPATIBLE": COMPATIBLE, "RAUC_META_MODEMHUB_VERSION": "0.2.0", "RAUC_TARGET_SLOTS": "1",
        "RAUC_SLOT_BOOTNAME_1": "A",
    }  # fmt: skip
    with pytest.raises(Refused, match="slot A runs"):
        world.updater.admit(words)
    for odd in ({"RAUC_TARGET_SLOTS": ""}, {"RAUC_TARGET_SLOTS": "1 2", "RAUC_SLOT_BOOTNAME_2": "B"}):
        with pytest.raises(Refused, match="RAUC would write"):
            world.updater.admit({**words, **odd})


def test_while_a_slot_is_on_trial_the_way_back_is_not_overwritten(world: World) -> None:
    with pytest.raises(Rebooting):
        world.updater.install(world.file(NEW))
    world.boot()
    with pytest.raises(Refused, match="still on trial"):
        world.updater.install(world.file(Release("0.3.0")))
    assert world.run(["rauc", "install", str(world.file(Release("0.3.0")))], 1).returncode == 1
    assert world.slots["A"] == OLD


def test_an_installation_that_raucs_write_ended_is_told_with_its_last_line(world: World) -> None:
    world.io_errors = 1
    with pytest.raises(Refused, match=r"was not installed: Installation error: I/O error$"):
        world.updater.install(world.file(NEW))


def test_how_the_hub_was_is_in_the_record(world: World) -> None:
    world.updater.install(world.file(NEW), reboot=False)
    trial = world.system.ledger.trial
    assert trial is not None
    assert (trial.slot, trial.from_slot, trial.version, trial.from_version) == ("B", "A", "0.2.0", "0.1.0")
    assert trial.before == Before(active=True, answers=True, ready=1)
    assert world.system.ledger.tried == (NEW.digest,)


# ------------------------------------------------------------------------------------------------------ stick


def test_the_newest_bundle_of_a_stick_is_installed_once(world: World) -> None:
    world.plug(a=Release("0.2.0", "new"), b=Release("0.10.0", "newer"), c=Release("0.9.0", signed=False))
    with pytest.raises(Rebooting):
        world.updater.stick(Path("/dev/sda1"))
    world.live()
    assert world.release.version == "0.10.0"
    assert not list((world.place.data / "updates").iterdir())
    assert "once" in world.updater.stick(Path("/dev/sda1"))


def test_a_stick_that_stays_in_does_not_bring_back_what_was_taken_back(world: World) -> None:
    world.plug(bad=Release("0.2.0", starts=False))
    with pytest.raises(Rebooting):
        world.updater.stick(Path("/dev/sda1"))
    world.live()
    assert world.release == OLD
    assert "once" in world.updater.stick(Path("/dev/sda1"))
    with pytest.raises(Rebooting):  # a person may insist
        world.updater.install(world.stick / "modemhub-bad.raucb")


def test_a_power_cut_while_a_stick_is_installed_is_gone_on_with_at_the_next_start(world: World) -> None:
    world.plug(new=NEW)
    world.steps, world.cut_at = 0, 8
    with pytest.raises(PowerCut):
        world.updater.stick(Path("/dev/sda1"))
    world.live()
    with pytest.raises(Rebooting):
        world.updater.stick(Path("/dev/sda1"))
    world.live()
    assert world.release == NEW


def test_a_stick_with_nothing_of_ours_or_nothing_trusted(world: World) -> None:
    world.plug()
    assert "no modemhub-*.raucb" in world.updater.stick(Path("/dev/sda1"))
    world.plug(a=Release("0.2.0", signed=False))
    with pytest.raises(Refused, match=r"modemhub-a\.raucb is not trusted"):
        world.updater.stick(Path("/dev/sda1"))
    world.plug(old=Release("0.0.1"))
    with pytest.raises(Refused, match="refused: it is older"):
        world.updater.stick(Path("/dev/sda1"))


def test_a_stick_that_is_there_at_the_start_waits_for_the_modems(tmp_path: Path) -> None:
    made = World(tmp_path, slots={"A": OLD})
    made.boot()
    made.plug(new=NEW)
    with pytest.raises(Rebooting):
        made.updater.stick(Path("/dev/sda1"))
    assert made.system.ledger.trial is not None
    assert made.system.ledger.trial.before == Before(active=True, answers=True, ready=1)


def test_a_stick_with_more_than_there_is_room_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.plug(new=NEW)
    monkeypatch.setattr(download, "RESERVE", 1 << 60)
    with pytest.raises(NotFetched, match="MB free: the bundle needs"):
        world.updater.stick(Path("/dev/sda1"))
    assert world.system.ledger.trial is None


# ------------------------------------------------------------------------------------------------------ network


class Publisher:
    """An HTTPS server of files, with faults."""

    def __init__(self, authority: Authority) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.breaks: list[int] = []
        """After so many octets of an answer the connection ends; one for each answer."""
        self.ranges = True
        self.lengths = True
        self.asked: list[tuple[str, str | None]] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                publisher.asked.append((self.path, self.headers["Range"]))
                if to := publisher.redirects.get(self.path):
                    self.send_response(302)
                    self.send_header("Location", to)
                    self.end_headers()
                    return
                content = publisher.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                begin = 0
                if publisher.ranges and self.headers["Range"]:
                    begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                    if begin >= len(content):
                        self.send_response(416)
                        self.send_header("Content-Range", f"bytes */{len(content)}")
                        self.end_headers()
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
                else:
                    self.send_response(200)
                if publisher.lengths:
                    self.send_header("Content-Length", str(len(content) - begin))
                self.end_headers()
                stop = publisher.breaks.pop(0) if publisher.breaks else len(content)
                with contextlib.suppress(OSError):  # who has heard enough hangs up
                    self.wfile.write(content[begin:][:stop])

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue("localhost", host="localhost"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def publisher(authority: Authority) -> Iterator[Publisher]:
    made = Publisher(authority)
    yield made
    made.close()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def web(authority: Authority, slept: list[float]) -> Web:
    return Web(slept.append, lambda _: None, ssl.create_default_context(cafile=authority.file))


CONTENT = bytes(range(256)) * 8000
DIGEST = sha256(CONTENT).hexdigest()


def test_a_bundle_comes_whole_over_a_line_that_breaks(
    publisher: Publisher, web: Web, tmp_path: Path, slept: list[float]
) -> None:
    publisher.files["/b"] = CONTENT
    publisher.breaks = [700_000, 0, 300_000]
    file = web.bundle(f"{publisher.url}/b", tmp_path / "updates", sha256=DIGEST, size=len(CONTENT))
    assert file.read_bytes() == CONTENT
    assert slept == [10, 20, 40]
    assert [each[1] for each in publisher.asked][::3] == [None, "bytes=1000000-"]


@pytest.mark.parametrize("ranges", [True, False])
def test_the_next_attempt_goes_on_where_the_last_one_ended(
    publisher: Publisher, web: Web, tmp_path: Path, *, ranges: bool
) -> None:
    publisher.files["/b"], publisher.ranges = CONTENT, ranges
    publisher.breaks = [500_000, 0, 0, 0, 0] if ranges else [1, 1, 1, 1, 500_000]
    with pytest.raises(NotFetched, match="goes on there next time"):
        web.bundle(f"{publisher.url}/b", tmp_path / "updates", sha256=DIGEST)
    (part,) = (tmp_path / "updates").iterdir()
    assert part.stat().st_size == 500_000
    (tmp_path / "updates/left.raucb").write_bytes(b"of another time")
    assert web.bundle(f"{publisher.url}/b", tmp_path / "updates", sha256=DIGEST).read_bytes() == CONTENT
    assert len(list((tmp_path / "updates").iterdir())) == 1


def test_power_cut_after_the_last_octet_and_a_file_that_has_changed(
    publisher: Publisher, web: Web, tmp_path: Path
) -> None:
    publisher.files["/b"] = CONTENT
    place = tmp_path / "updates"
    web.bundle(f"{publisher.url}/b", place).rename(place / "kept")
    name = sha256(f"{publisher.url}/b ".encode()).hexdigest()[:16]
    (place / "kept").rename(place / f"{name}.part")
    assert web.bundle(f"{publisher.url}/b", place).read_bytes() == CONTENT
    (place / f"{name}.raucb").rename(place / f"{name}.part")
    publisher.files["/b"] = b"shorter"
    assert web.bundle(f"{publisher.url}/b", place).read_bytes() == b"shorter"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "0" * 64}, "not what its index says"),
        ({"size": 5}, "has 2048000 octets, and its index says 5"),
        ({"size": 1 << 50}, "MB free: the bundle needs"),
    ],
)
def test_what_is_not_what_the_index_says_is_not_kept(
    publisher: Publisher, web: Web, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    publisher.files["/b"] = CONTENT
    with pytest.raises(NotFetched, match=says):
        web.bundle(f"{publisher.url}/b", tmp_path / "updates", **change)
    assert not list((tmp_path / "updates").glob("*.raucb"))


@pytest.mark.parametrize("lengths", [True, False])
def test_a_download_never_fills_the_partition(
    publisher: Publisher, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lengths: bool
) -> None:
    publisher.files["/b"], publisher.lengths = CONTENT, lengths
    monkeypatch.setattr(download, "RESERVE", 1 << 60)
    with pytest.raises(NotFetched, match="stay free"):
        web.bundle(f"{publisher.url}/b", tmp_path / "updates")
    assert len(publisher.asked) == 1


def test_only_tls_and_only_servers_that_are_trusted(
    publisher: Publisher, web: Web, tmp_path: Path, slept: list[float]
) -> None:
    publisher.files["/b"] = CONTENT
    publisher.redirects["/away"] = "http://127.0.0.1:1/b"
    publisher.redirects["/moved"] = f"{publisher.url}/b"
    with pytest.raises(NotFetched, match="by https only"):
        web.bundle("http://127.0.0.1:1/b", tmp_path / "updates")
    with pytest.raises(NotFetched, match="which is not https"):
        web.bundle(f"{publisher.url}/away", tmp_path / "updates")
    assert web.bundle(f"{publisher.url}/moved", tmp_path / "updates").read_bytes() == CONTENT
    stranger = Web(slept.append, lambda _: None, ssl.create_default_context())
    with pytest.raises(NotFetched, match="certificate verify failed"):
        stranger.index(f"{publisher.url}/b")
    with pytest.raises(NotFetched, match="404"):
        web.bundle(f"{publisher.url}/none", tmp_path / "updates")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"version": "new", "url": "x"}', b'{"version": "1.0", "url": "x", "sha256": "12"}', b"\xff"],
)
def test_what_is_no_index_is_told_as_such(content: bytes) -> None:
    with pytest.raises(NotFetched, match="is no index of releases"):
        Index.of(content, base="https://example.org/modemhub.json")


def test_an_index_names_its_bundle_relative_to_itself() -> None:
    words = {"version": "0.2.0", "url": "b.raucb", "sha256": "A" * 64, "size": 5, "notes": "n", "min_version": "0.1"}
    made = Index.of(json.dumps(words).encode(), base="https://example.org/v/modemhub.json")
    assert made == Index("0.2.0", "https://example.org/v/b.raucb", "a" * 64, 5, "n", "0.1")


# ------------------------------------------------------------------------------------------------------ check


def settings(world: World, **update: Any) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in update.items()]
    write(world.place.device / "settings.toml", "\n".join(("[update]", *lines, "")).encode())


def publish(publisher: Publisher, release: Release, **more: Any) -> str:
    content = json.dumps(release.__dict__).encode()
    publisher.files["/b.raucb"] = content
    words = {"version": release.version, "url": "b.raucb", "sha256": sha256(content).hexdigest(), "size": len(content)}
    publisher.files["/modemhub.json"] = json.dumps({**words, **more}).encode()
    return f"{publisher.url}/modemhub.json"


def by(world: World, web: Web) -> Updater:
    return replace(world.updater, web=web)


def test_what_is_newer_is_told_and_installed_where_the_settings_let_it(
    world: World, publisher: Publisher, web: Web
) -> None:
    updater = by(world, web)
    assert "nobody is asked" in updater.check(automatic=True)
    url = publish(publisher, NEW, notes="Faster.")
    settings(world, url=url)
    assert updater.check() == "version 0.2.0 is there; 0.1.0 runs. Faster.\nmodemhub-device update install"
    settings(world, url=url, automatic=False)
    assert "automatic is off" in updater.check(automatic=True)
    settings(world, url=url)
    with pytest.raises(Rebooting):
        updater.check(automatic=True)
    assert "waits for the reboot" in updater.check(automatic=True)
    world.live()
    assert world.release == NEW
    assert updater.check(automatic=True) == "version 0.2.0 is the newest"
    assert not list((world.place.data / "updates").iterdir())


def test_what_was_taken_back_is_not_tried_every_night_but_a_person_may_and_a_newer_one_is(
    world: World, publisher: Publisher, web: Web
) -> None:
    updater = by(world, web)
    settings(world, url=publish(publisher, Release("0.2.0", ready=0)))
    with pytest.raises(Rebooting):
        updater.check(automatic=True)
    world.live()
    assert world.release == OLD
    assert "taken back (after" in updater.check(automatic=True)
    with pytest.raises(Rebooting):
        updater.newest()
    world.live()
    publish(publisher, Release("0.2.1"))
    world.clock += 600
    with pytest.raises(Rebooting):
        updater.check(automatic=True)
    world.live()
    assert world.release.version == "0.2.1"


def test_an_installation_that_failed_is_tried_again_the_next_night(
    world: World, publisher: Publisher, web: Web
) -> None:
    settings(world, url=publish(publisher, NEW))
    world.io_errors = 1
    with pytest.raises(Refused, match="I/O error"):
        by(world, web).check(automatic=True)
    with pytest.raises(Rebooting):
        by(world, web).check(automatic=True)
    world.live()
    assert world.release == NEW


def test_a_version_that_needs_another_first_says_so(world: World, publisher: Publisher, web: Web) -> None:
    settings(world, url=publish(publisher, NEW, min_version="0.1.5"))
    with pytest.raises(Refused, match=r"needs version 0\.1\.5 or newer first"):
        by(world, web).check(automatic=True)


@pytest.mark.parametrize(
    ("window", "drop_in"),
    [
        ("03:00-05:00", ""),
        ("nonsense", ""),
        ("22:30-01:00", "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 22:30:00\nRandomizedDelaySec=150min\n"),
        ("04:00-04:00", "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 04:00:00\nRandomizedDelaySec=1440min\n"),
    ],
)
def test_the_timer_follows_the_window(window: str, drop_in: str) -> None:
    assert timer(window) == drop_in


def test_the_report_says_where_an_update_stands(world: World) -> None:
    def said() -> str:
        return words_of(report(world.system))

    assert said() == "version 0.1.0 (build old) in slot A\nnever updated"
    with pytest.raises(Rebooting):
        world.updater.install(world.file(NEW))
    assert "waits for the reboot" in said()
    world.boot()
    assert "is on trial" in said()
    world.live()
    assert "version 0.2.0 was committed" in said()
    assert json.loads(json.dumps(report(world.system)))["last"]["state"] == State.COMMITTED


def test_only_one_at_a_time(world: World) -> None:
    with world.updater.alone(), pytest.raises(Refused, match="another update"), world.updater.alone():
        pass


def test_one_that_nobody_asked_for_waits_for_the_other(world: World) -> None:
    order: list[str] = []
    there = threading.Event()

    def second() -> None:
        there.set()
        with world.updater.alone(wait=True):
            order.append("second")

    waiting = threading.Thread(target=second)
    with world.updater.alone():
        waiting.start()
        there.wait()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_why_a_stick_was_not_installed_is_told_on_the_card(tmp_path: Path) -> None:
    made = World(tmp_path, slots={"A": OLD})
    made.boot()
    cmdline = made.place.at("/proc/cmdline")
    cmdline.write_text(cmdline.read_text() + " modemhub.prove=0")
    nothing = tmp_path / "sda1"
    nothing.write_bytes(b"no file system")
    assert main(["--root", str(tmp_path), "update", "stick", str(nothing)]) == 1
    (told,) = Board(made.place).problems()["stick"]
    assert "was not installed" in told
    assert "sda1 cannot be read" in told


def test_a_stick_that_was_pulled_meanwhile_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = World(tmp_path, slots={"A": OLD})
    made.boot()
    cmdline = made.place.at("/proc/cmdline")
    cmdline.write_text(cmdline.read_text() + " modemhub.prove=0")
    assert main(["--root", str(tmp_path), "update", "stick", "/dev/none-such"]) == 0
    assert "not there any more" in capsys.readouterr().out
