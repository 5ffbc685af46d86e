"""The bill of materials, the notice and the archive of licences, of a small root that is made here."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import re
import tarfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from cyclonedx import schema
from cyclonedx.model import bom

from image.card import sbom
from image.debian import Package, locked

EPOCH = 1_764_000_000
ROOT = Path(__file__).resolve().parents[2]

STATUS = """\
Package: libc6
Status: install ok installed
Section: libs
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: arm64
Source: glibc
Version: 2.41-12+deb13u5
Description: GNU C Library
 shared libraries
 .
 Package: nobody

Package: mosquitto
Status: install ok installed
Section: net
Architecture: arm64
Version: 2.0.21-1
Depends: libc6 (>= 2.38), libssl3t64 (>= 3.0) | libssl3, adduser

Package: libssl3t64
Status: install ok installed
Section: libs
Architecture: arm64
Source: openssl (3.5.1-1)
Version: 1:3.5.1-1+b1
Provides: libssl3 (= 3.5.1-1)
Pre-Depends: libc6 (>= 2.34)

Package: modemhub
Status: install ok installed
Architecture: arm64
Version: 0.1.0
Depends: libc6 (>= 2.40)

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1
"""
DEP5 = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: LGPL-2.1+ and Expat

Files: x
License: GPL-2+ with OpenSSL exception or BSD-3-clause
 The text
 License: of a trap

License: lgpl-2.1+
 The text again
"""
PROSE = "On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n"
WHEEL = "multidict-7.2.1-cp313-cp313"
WHEELS = f"""\
version = 1
[[package]]
name = "multidict"
version = "7.2.1"
wheels = [
  {{ url = "{WHEEL}-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", hash = "sha256:{"a" * 64}" }},
  {{ url = "{WHEEL}-manylinux2014_x86_64.whl", hash = "sha256:{"b" * 64}" }},
]
[[package]]
name = "yarl"
version = "1.0"
wheels = [{{ url = "some/where/yarl-1.0-py3-none-any.whl", hash = "sha256:{"c" * 64}" }}]
"""


def package(name: str, version: str, architecture: str = "arm64") -> Package:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Package(name, version, architecture, digest, 1, "debian", f"pool/{name}.deb")


LOCK = [
    package("libc6", "2.41-12+deb13u5"),
    package("mosquitto", "2.0.21-1"),
    package("libssl3t64", "1:3.5.1-1+b1"),
    package("raspi-firmware", "1:1.20240424-1", "all"),
]


def put(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    put(root / "var/lib/dpkg/status", STATUS)
    put(root / "usr/share/doc/libc6/copyright", DEP5)
    put(root / "usr/share/doc/mosquitto/copyright", PROSE)
    # as Debian does it, and once by an absolute link: neither may lead out of the root
    (root / "usr/share/doc/libssl3t64").symlink_to("/usr/share/doc/openssl")
    put(root / "usr/share/doc/openssl/copyright", "nothing that can be read by a machine\n")
    put(root / "usr/share/common-licenses/Apache-2.0", "Apache License\n")
    (root / "usr/share/common-licenses/Apache").symlink_to("../../../../../../etc/hostname")
    site = root / "usr/lib/modemhub/lib/python3.13/site-packages"
    put(
        site / "multidict-7.2.1.dist-info/METADATA",
        "Name: multidict\nVersion: 7.2.1\nLicense-Expression: Apache-2.0\nAuthor-email: A Person <a@example.com>\n",
    )
    put(
        site / "multidict-7.2.1.dist-info/WHEEL",
        "Tag: cp313-cp313-manylinux_2_17_aarch64\nTag: cp313-cp313-manylinux2014_aarch64\n",
    )
    put(site / "multidict-7.2.1.dist-info/licenses/LICENSE", "the licence of multidict\n")
    put(
        site / "yarl-1.0.dist-info/METADATA",
        "Name: Yarl\nVersion: 1.0\nClassifier: License :: OSI Approved :: MIT License\n"
        "Requires-Dist: Multidict>=4\nRequires-Dist: libc6; extra == 'x'\n\nLicense: of the text below\n",
    )
    put(site / "yarl-1.0.dist-info/WHEEL", "Tag: py3-none-any\n")
    for file in (ROOT / sbom.CONSOLE).rglob("*"):
        if file.is_file():
            put(site / sbom.CONSOLE / file.relative_to(ROOT / sbom.CONSOLE), file.read_text())
    put(tmp_path / "uv.lock", WHEELS)
    put(tmp_path / "firmware/usr/share/doc/raspi-firmware/copyright", DEP5)
    return root


@pytest.fixture
def inputs(root: Path) -> dict[str, Any]:
    return {
        "root": root,
        "lock": LOCK,
        "beside": {"raspi-firmware": root.parent / "firmware"},
        "wheels": root.parent / "uv.lock",
        "version": "0.1.0",
    }


def components(text: str) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads(text)["components"]}


def named(entry: dict[str, Any]) -> list[str]:
    return [licence["license"].get("id") or "~" + licence["license"]["name"] for licence in entry["licenses"]]


def test_everything_that_the_image_has_is_in_the_bill_once(inputs: dict[str, Any]) -> None:
    made = components(sbom.sbom(**inputs, epoch=EPOCH))
    assert set(made) == {
        "libc6", "mosquitto", "libssl3t64", "raspi-firmware", "multidict", "Yarl", "preact", "htm", "uplot",
        "qrcode-generator", "modemhub",
    }  # fmt: skip
    assert made["libssl3t64"]["purl"] == "pkg:deb/debian/libssl3t64@1:3.5.1-1%2Bb1?arch=arm64&distro=debian-13"
    assert made["libssl3t64"]["properties"] == [{"name": "modemhub:source", "value": "openssl 3.5.1-1"}]
    assert made["libc6"]["hashes"] == [{"alg": "SHA-256", "content": LOCK[0].sha256}]
    assert made["libc6"]["supplier"] == {"name": "Debian"}
    assert made["Yarl"]["purl"] == "pkg:pypi/yarl@1.0"
    assert made["preact"]["purl"].startswith("pkg:npm/preact@")
    assert made["raspi-firmware"]["type"] == "firmware"


def test_a_package_that_is_unpacked_beside_the_root_too_is_told_as_installed(inputs: dict[str, Any]) -> None:
    alone = sbom.sbom(**inputs, epoch=EPOCH)
    beside = inputs["beside"] | {"libc6": inputs["root"].parent / "firmware"}
    assert sbom.sbom(**inputs | {"beside": beside}, epoch=EPOCH) == alone


def test_licences_are_told_as_their_package_tells_them(inputs: dict[str, Any]) -> None:
    made = components(sbom.sbom(**inputs, epoch=EPOCH))
    assert named(made["libc6"]) == ["BSD-3-Clause", "MIT", "~GPL-2+ with OpenSSL exception", "LGPL-2.1-or-later"]
    assert named(made["mosquitto"]) == ["Apache-2.0"]
    assert named(made["libssl3t64"]) == ["~told in its copyright file"]
    assert named(made["Yarl"]) == ["MIT"]
    assert made["multidict"]["licenses"] == [{"expression": "Apache-2.0", "acknowledgement": "declared"}]


def test_the_sum_of_a_wheel_is_that_of_its_own_machine(inputs: dict[str, Any]) -> None:
    made = components(sbom.sbom(**inputs, epoch=EPOCH))
    assert made["multidict"]["hashes"][0]["content"] == "a" * 64
    assert made["Yarl"]["hashes"][0]["content"] == "c" * 64


def test_who_needs_whom_is_told_through_alternatives_and_what_is_provided(inputs: dict[str, Any]) -> None:
    document = json.loads(sbom.sbom(**inputs, epoch=EPOCH))
    purls = {entry["name"]: entry["purl"] for entry in document["components"]}
    needs = {entry["ref"]: set(entry["dependsOn"]) for entry in document["dependencies"]}
    assert needs[purls["mosquitto"]] == {purls["libc6"], purls["libssl3t64"]}
    assert needs[purls["modemhub"]] == {
        purls[name] for name in ("libc6", "Yarl", "multidict", "preact", "htm", "uplot")
    } | {purls["qrcode-generator"]}
    assert needs[purls["Yarl"]] == {purls["multidict"]}
    assert needs[document["metadata"]["component"]["bom-ref"]] == set(purls.values())


def test_the_same_root_gives_the_same_bytes_and_another_one_another_serial_number(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    first, again = (sbom.sbom(**inputs, epoch=EPOCH) for _ in range(2))
    assert first == again
    other = sbom.sbom(**inputs | {"version": "0.1.1"}, epoch=EPOCH)
    serial = re.compile(r'"serialNumber": "(.*)"')
    assert serial.findall(first) != serial.findall(other)
    assert json.loads(first)["metadata"]["timestamp"] == "2025-11-24T16:00:00Z"
    for name in ("a", "b"):
        sbom.licences(**inputs, out=tmp_path / name, epoch=EPOCH)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("lock", [LOCK[1:], [package("libc6", "2.41-11"), *LOCK[1:]], LOCK[:-1]])
def test_what_is_installed_but_not_locked_so_is_an_error(inputs: dict[str, Any], lock: list[Package]) -> None:
    with pytest.raises(sbom.Unaccounted, match=r"libc6 2.41-12\+deb13u5|raspi-firmware"):
        sbom.sbom(**inputs | {"lock": lock}, epoch=EPOCH)


def test_the_archive_has_every_text_and_nothing_of_this_machine(inputs: dict[str, Any], tmp_path: Path) -> None:
    sbom.licences(**inputs, out=tmp_path / "licences.tar.xz", epoch=EPOCH)
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress((tmp_path / "licences.tar.xz").read_bytes()))) as archive:
        entries = archive.getmembers()
        texts = {entry.name.partition("/")[2]: archive.extractfile(entry).read().decode() for entry in entries}  # type: ignore[union-attr]
    assert {(entry.mtime, entry.mode, entry.uid, entry.uname) for entry in entries} == {(EPOCH, 0o644, 0, "")}
    assert texts["debian/libc6/copyright"] == DEP5
    assert texts["debian/libssl3t64/copyright"].startswith("nothing that")
    assert texts["debian/raspi-firmware/copyright"] == DEP5
    assert texts["python/multidict-7.2.1/licenses/LICENSE"] == "the licence of multidict\n"
    assert texts["common-licenses/Apache-2.0"] == "Apache License\n"
    assert "common-licenses/Apache" not in texts  # it leads out of the root
    assert sum(name.startswith("console/") for name in texts) == 4
    assert texts["modemhub/LICENSE"] == (ROOT / "LICENSE").read_text()


def test_the_notice_tells_people_where_each_source_is(inputs: dict[str, Any]) -> None:
    text = sbom.notice(**inputs)
    assert "libssl3t64 1:3.5.1-1+b1  [source: openssl 3.5.1-1]: told in its copyright file" in text
    assert "multidict 7.2.1: Apache-2.0" in text
    assert "debsnap SOURCE VERSION" in text


def test_it_is_cyclonedx_by_the_schema_and_another_reader_reads_it(inputs: dict[str, Any]) -> None:
    schemas = Path(bom.__file__).parents[1] / "schema/_res"
    known = {
        f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json": json.loads(
            (schemas / f"{name}.SNAPSHOT.schema.json").read_text()
        )
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    document = json.loads(sbom.sbom(**inputs, epoch=EPOCH))
    registry = jsonschema_rs.Registry(list(known.items()), draft=jsonschema_rs.Draft7)
    judge = jsonschema_rs.Draft7Validator(
        known["http://cyclonedx.org/schema/bom-1.6.SNAPSHOT.schema.json"], registry=registry
    )
    assert [str(error) for error in judge.iter_errors(document)] == []
    document["components"][0]["licenses"] = [{"license": {"id": "No-Such-Licence"}}]
    assert not judge.is_valid(document)  # it does judge

    again = json.loads(sbom.sbom(**inputs, epoch=EPOCH))
    read = bom.Bom.from_json(again)  # type: ignore[attr-defined]  # its serializer adds it
    assert read.validate()
    assert {str(entry.purl) for entry in read.components} == {part.purl for part in sbom.parts(
        inputs["root"], LOCK, beside=inputs["beside"], wheels=inputs["wheels"]
    )}  # fmt: skip


def test_every_spdx_identifier_that_it_may_write_exists() -> None:
    listed = json.loads((Path(schema.__file__).parent / "_res/spdx.SNAPSHOT.schema.json").read_text())["enum"]
    assert set(sbom.SPDX.values()) - set(listed) == set()


def test_the_images_own_lock_is_one_that_it_reads() -> None:
    assert any(entry.name == "mosquitto" for entry in locked(ROOT / "image/card/packages.lock"))
