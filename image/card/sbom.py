"""What is in the image, for programs and for people: the bill of materials, the licences, and where the sources are.

Promise: every Debian package, every Python package and every JavaScript module that the image has is named with its
version, its licence as it says itself and, where there was a file to fetch, the SHA-256 of that file. Same root, same
lock, same epoch: same bytes. A package that is installed but not locked, or locked in another version, is no entry but
an error (``Unaccounted``): then the lock is not the lock of this image.

What it does not do: it judges no licence and looks for no vulnerability; it does not look into files to find code that
a package brought along without saying so. A licence that its package tells in prose only is given by the names that
the prose refers to below ``/usr/share/common-licenses``, as names and not as SPDX identifiers.

Theory of operation. Four sources are read, none of them run::

    var/lib/dpkg/status, usr/share/doc/*/copyright     Debian's packages; DEP-5 copyright files are machine-readable
    beside                                             packages unpacked outside the root: the Pi's firmware, U-Boot
    usr/lib/modemhub*/**/*.dist-info                   Python's; the wheel's tags lead to its file's sum in uv.lock
    appliance/http/console/vendor/README.md            the console's modules

``sbom`` writes them as CycloneDX 1.6: one component each, a purl each, and who needs whom as the packages' own metadata
have it. Its serial number is a name made of the content, so that equal bills are the same bill. ``notice`` tells the
same to people, with the way to the sources; ``licences`` packs all texts into one archive.
"""

from __future__ import annotations

import email.parser
import io
import json
import lzma
import re
import tarfile
import tomllib
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from image.debian import Package

__all__ = ["Unaccounted", "licences", "notice", "parts", "sbom"]

ROOT: Final = Path(__file__).resolve().parents[2]
WHEELS: Final = ROOT / "uv.lock"
DISTRO: Final = "debian-13"
NAME: Final = "modemhub-rpi-arm64"
STATUS: Final = "var/lib/dpkg/status"
DOC: Final = "usr/share/doc"
COMMON: Final = "usr/share/common-licenses"
PYTHON: Final = "usr/lib/modemhub*"
CONSOLE: Final = "appliance/http/console/vendor"
OURS: Final = "modemhub"
NAMESPACE: Final = uuid.UUID("1b7b2a4e-5a0e-4c55-9d3f-6d6f64656d68")
"""Of the serial numbers; any fixed one would do."""
LIBRARIES: Final = frozenset({"libs", "oldlibs", "python", "perl", "libdevel"})
"""Sections of Debian."""

_GNU: Final = {
    f"{family}-{said}{sign}": f"{family}-{number}-{word}"
    for family, numbers in {
        "GPL": ("1.0", "2.0", "3.0"),
        "LGPL": ("2.0", "2.1", "3.0"),
        "AGPL": ("3.0",),
        "GFDL": ("1.1", "1.2", "1.3"),
    }.items()
    for number in numbers
    for said in {number, number.removesuffix(".0")}
    for sign, word in {"": "only", "+": "or-later", "-only": "only", "-or-later": "or-later"}.items()
}
SPDX: Final = {
    name.casefold(): identifier
    for name, identifier in (
        _GNU
        | {
            "Expat": "MIT", "Artistic": "Artistic-1.0-Perl", "MIT License": "MIT", "MPL 2.0": "MPL-2.0",
            "Apache Software License": "Apache-2.0", "Apache 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0",
            "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "PSF-2": "PSF-2.0", "Zlib": "Zlib",
            "Python Software Foundation License": "PSF-2.0", "GFDL-NIV-1.3": "GFDL-1.3-no-invariants-only",
            "GFDL-NIV-1.3+": "GFDL-1.3-no-invariants-or-later", "Unicode": "Unicode-DFS-2016", "FTL": "FTL",
        }
        | {
            same: same
            for same in (
                "0BSD", "AFL-2.1", "Apache-2.0", "Artistic-2.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause",
                "BSD-4-Clause", "BSD-4-Clause-UC", "BSL-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0",
                "CC0-1.0", "CDDL-1.0", "EPL-1.0", "EPL-2.0", "FSFAP", "FSFUL", "FSFULLR", "HPND", "ICU", "ISC", "MIT",
                "MIT-0", "MIT-CMU", "MPL-1.1", "MPL-2.0", "NTP", "OFL-1.1", "OLDAP-2.8", "OpenSSL", "PSF-2.0",
                "Python-2.0", "TCL", "Unlicense", "Vim", "W3C", "WTFPL", "X11", "ZPL-2.1", "bzip2-1.0.6", "curl",
            )
        }
    ).items()
}  # fmt: skip
"""What Debian's copyright files and Python's classifiers call a licence: its SPDX identifier, where there is one."""

SOURCES: Final = """\
Where the sources are

Debian's packages are unchanged. Debian keeps the source of every version that it ever published in its snapshot
archive; this fetches one (the package devscripts has the command), by the source's name and version from the table:

    debsnap SOURCE VERSION

The Python packages are unchanged too, and so, but for one word of an import, are the modules of the console:

    pip download --no-binary :all: --no-deps NAME==VERSION
    npm pack NAME@VERSION

modemhub itself is all in its repository, at the commit that the image was built from, with all that builds the image.

Licences of the GNU family want that whoever passes on the programs passes on their sources too, or a written offer of
them, for three years at least. If you pass on cards, devices or images, keep a copy of these sources: an address of
somebody else's, as above, is enough only between people who do so without payment.
"""


class Unaccounted(Exception):
    """The lock does not tell what is in the root; says which packages."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the image has."""

    kind: str
    """As CycloneDX has it: library, application, firmware."""
    name: str
    version: str
    purl: str
    licences: tuple[str, ...] = ()
    """Names, as the part says; ``SPDX`` knows most."""
    expression: str = ""
    """An SPDX expression, instead of them."""
    supplier: str = ""
    publisher: str = ""
    sha256: str = ""
    source: str = ""
    """Name and version of what it was built from, if Debian built it."""
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """Licences in full, by the name in the archive."""
    needs: tuple[str, ...] = ()
    """The purls of others."""


def sbom(
    root: Path,
    lock: Sequence[Package],
    *,
    version: str,
    epoch: int,
    beside: Mapping[str, Path] | None = None,
    wheels: Path = WHEELS,
) -> str:
    """The bill of materials of the image, CycloneDX 1.6 as JSON.

    Args:
        root: the tree of the built root.
        lock: the packages that it was built from, and those of ``beside``.
        version: the image's.
        epoch: seconds since 1970 that the bill is dated with.
        beside: packages of the lock that are unpacked beside the root, and where; those of the root are told once.
        wheels: uv's lock file.

    Raises:
        Unaccounted: the root has packages that are not in the lock.
    """
    everything = parts(root, lock, beside=beside, wheels=wheels)
    ours = f"pkg:generic/{NAME}@{quote(version)}"
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "firmware",
                "bom-ref": ours,
                "supplier": {"name": OURS},
                "name": NAME,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": ours,
            },
        },
        "components": [_component(part) for part in everything],
        "dependencies": [
            {"ref": ours, "dependsOn": sorted(part.purl for part in everything)},
            *({"ref": part.purl, "dependsOn": sorted(part.needs)} for part in everything if part.needs),
        ],
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))
    return json.dumps({"serialNumber": f"urn:uuid:{serial}"} | document, indent=1, ensure_ascii=False) + "\n"


def notice(
    root: Path,
    lock: Sequence[Package],
    *,
    version: str,
    beside: Mapping[str, Path] | None = None,
    wheels: Path = WHEELS,
) -> str:
    """The same for people: each part with its licences, and where its source is. Raises what ``sbom`` does."""
    lines = [
        f"modemhub {version}, the image: licences and sources", "",
        "modemhub is licensed under the Apache License 2.0. The image has, besides, the work of many others:", "",
    ]  # fmt: skip
    for part in parts(root, lock, beside=beside, wheels=wheels):
        said = part.expression or ", ".join(part.licences) or "see its own text"
        origin = f"  [source: {part.source}]" if part.source else ""
        lines.append(f"{part.name} {part.version}{origin}: {said}")
    return "\n".join(
        (*lines, "", "The texts of all these licences are in the archive of licences beside the image.")
    ) + ("\n\n" + SOURCES)


def licences(
    root: Path,
    out: Path,
    *,
    lock: Sequence[Package],
    version: str,
    epoch: int,
    beside: Mapping[str, Path] | None = None,
    wheels: Path = WHEELS,
) -> None:
    """All texts of licences and the notice, as ``.tar.xz`` at ``out``. Raises what ``sbom`` does."""
    texts = {"NOTICE.txt": notice(root, lock, version=version, beside=beside, wheels=wheels).encode()}
    for part in parts(root, lock, beside=beside, wheels=wheels):
        texts |= part.texts
    for file in sorted((root / COMMON).iterdir()) if (root / COMMON).is_dir() else ():
        if (found := _inside(root, file)) is not None:
            texts[f"common-licenses/{file.name}"] = found.read_bytes()
    texts["modemhub/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    top = f"modemhub-{version}-licences"
    with (
        lzma.open(out, "wb", preset=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(texts):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime, entry.mode = len(texts[name]), epoch, 0o644
            tar.addfile(entry, io.BytesIO(texts[name]))


def parts(
    root: Path, lock: Sequence[Package], *, beside: Mapping[str, Path] | None = None, wheels: Path = WHEELS
) -> tuple[Part, ...]:
    """All that is in the image, in the order of their purls. Raises what ``sbom`` does."""
    site = _site(root)
    brought = [*_python(root, wheels), *(_console(site / CONSOLE) if site else ())]
    found = [*_debian(root, lock, beside or {}, [part.purl for part in brought]), *brought]
    return tuple({part.purl: part for part in sorted(found, key=lambda part: part.purl)}.values())


# ----------------------------------------------------------------------------------------------------------- Debian


def _debian(root: Path, lock: Sequence[Package], beside: Mapping[str, Path], brought: Sequence[str]) -> Iterator[Part]:
    """Those of dpkg and those beside; our own package is none of Debian's, and needs what it ``brought``."""
    known = {(entry.name, entry.architecture): entry for entry in lock}
    installed = [
        paragraph
        for paragraph in _paragraphs((root / STATUS).read_text(encoding="utf-8"))
        if paragraph["Status"].split()[-1] == "installed"
    ]
    missing = sorted(
        f"{said['Package']} {said['Version']}"
        for said in installed
        if said["Package"] != OURS
        if (entry := known.get((said["Package"], said["Architecture"]))) is None or entry.version != said["Version"]
    )
    unknown = sorted(name for name in beside if not any(entry.name == name for entry in lock))
    if missing or unknown:
        raise Unaccounted(f"not in the lock in this version: {', '.join(missing + unknown)}")
    purls = {
        said["Package"]: _ours(said["Version"])
        if said["Package"] == OURS
        else _deb(said["Package"], said["Version"], said["Architecture"])
        for said in installed
    }
    providers: dict[str, list[str]] = defaultdict(list)
    for said in installed:
        for provided in re.findall(r"([a-z0-9][a-z0-9+.-]+)[^,]*", said.get("Provides", "")):
            providers[provided].append(purls[said["Package"]])
    for said in installed:
        name = said["Package"]
        wanted = {
            purl
            for alternatives in f"{said.get('Pre-Depends', '')},{said.get('Depends', '')}".split(",")
            for other in re.findall(r"(?:^|\|)\s*([a-z0-9][a-z0-9+.-]+)", alternatives)
            for purl in ([purls[other]] if other in purls else providers[other])
        } - {purls[name]}
        if name == OURS:
            needs = tuple(sorted({*wanted, *brought}))
            yield Part(
                "application", name, said["Version"], purls[name], expression="Apache-2.0", supplier=OURS, needs=needs
            )
        else:
            yield _package(said, known[name, said["Architecture"]], root, tuple(sorted(wanted)))
    for name, tree in sorted(beside.items()):
        if name in purls:  # a package of the root, of which files are needed elsewhere too
            continue
        entry = next(entry for entry in lock if entry.name == name)
        yield _package({"Package": name, "Version": entry.version, "Architecture": entry.architecture}, entry, tree, ())


def _package(said: Mapping[str, str], entry: Package, tree: Path, needs: tuple[str, ...]) -> Part:
    name, version = said["Package"], said["Version"]
    source = re.fullmatch(r"(\S+)(?: \((.*)\))?", said.get("Source", name))
    assert source
    copyright_file = _inside(tree, tree / DOC / name / "copyright")
    text = copyright_file.read_bytes() if copyright_file else b""
    section = said.get("Section", "").rpartition("/")[2]
    kind = (
        "library" if section in LIBRARIES else "firmware" if "firmware" in name or "u-boot" in name else "application"
    )
    return Part(
        kind, name, version, _deb(name, version, said["Architecture"]),
        licences=tuple(_said(text.decode(errors="replace"))),
        supplier="Debian", publisher=said.get("Maintainer", ""), sha256=entry.sha256,
        source=f"{source[1]} {source[2] or version}",
        texts={f"debian/{name}/copyright": text} if text else {}, needs=needs,
    )  # fmt: skip


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Fields of each paragraph; of a field with several lines, the first."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = (line for line in block.splitlines() if line[:1] not in {" ", "\t", "#", ""})
        yield {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _said(text: str) -> Iterator[str]:
    """The names of the licences in a copyright file."""
    if not text:
        return
    if text.lstrip("\ufeff\n").startswith("Format"):
        named = {
            name.strip()
            for paragraph in _paragraphs(text)
            for name in re.split(r",|\||/|\s(?:and|or)\s", paragraph.get("License", ""))
        }
    else:
        named = set(re.findall(rf"/{COMMON}/([A-Za-z0-9.-]*[A-Za-z0-9])", text)) or {"told in its copyright file"}
    once = {name.casefold(): name for name in sorted(named, reverse=True) if name}  # BSD-3-clause, BSD-3-Clause
    yield from (once[name] for name in sorted(once))


def _ours(version: str) -> str:
    return f"pkg:generic/{OURS}@{quote(version, safe='~:')}"


def _deb(name: str, version: str, architecture: str) -> str:
    return f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='~:')}?arch={architecture}&distro={DISTRO}"


def _inside(root: Path, path: Path, depth: int = 16) -> Path | None:
    """The file that ``path`` leads to when ``root`` is ``/``; None where there is none."""
    here = root
    rest = list(path.relative_to(root).parts)
    while rest:
        step = rest.pop(0)
        here = here.parent if step == ".." and here != root else here if step == ".." else here / step
        if here.is_symlink():
            if not depth:
                return None
            target = PurePosixPath(here.readlink())
            here = root if target.is_absolute() else here.parent
            rest = [part for part in target.parts if part != "/"] + rest
            depth -= 1
    return here if here.is_file() else None


# ----------------------------------------------------------------------------------------------------------- Python


def _site(root: Path) -> Path | None:
    """Where ``appliance`` is."""
    found = sorted(path.parents[len(PurePosixPath(CONSOLE).parts) - 1] for path in root.glob(f"{PYTHON}/**/{CONSOLE}"))
    return found[0] if found else None


def _python(root: Path, wheels: Path) -> Iterator[Part]:
    sums = _sums(wheels)
    places = sorted(root.glob(f"{PYTHON}/**/*.dist-info"))
    heads = [email.parser.HeaderParser().parsestr((at / "METADATA").read_text(encoding="utf-8")) for at in places]
    # some bring others along, in a folder of their own; who needs one means that of the environment
    outwards = sorted(zip(places, heads, strict=True), key=lambda pair: -len(pair[0].parts))
    purls = {_normal(said["Name"]): _pypi(said["Name"], said["Version"]) for _, said in outwards}
    for place, said in zip(places, heads, strict=True):
        name, version = _normal(said["Name"]), said["Version"]
        needed = (
            re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in _required(said.get_all("Requires-Dist"))
        )
        tags = re.findall(r"^Tag: (.*)$", (place / "WHEEL").read_text(encoding="utf-8"), re.MULTILINE)
        author = said["Author"] or said["Author-email"] or said["Maintainer"] or said["Maintainer-email"] or ""
        yield Part(
            "library",
            said["Name"],
            version,
            _pypi(said["Name"], version),
            licences=() if said["License-Expression"] else tuple(_classified(said)),
            expression=said["License-Expression"] or "",
            supplier=re.sub(r"\s*<[^>]*>", "", author).strip() or author,
            sha256=_sum(sums.get((name, version), {}), frozenset(tags)),
            texts={f"python/{name}-{version}/{file.relative_to(place)}": file.read_bytes() for file in _texts(place)},
            needs=tuple(sorted({purls[_normal(other)] for other in needed if _normal(other) in purls})),
        )


def _texts(place: Path) -> Iterator[Path]:
    for file in sorted(place.rglob("*")):
        if file.is_file() and re.match(r"(?i)licen[cs]e|copying|notice|authors", file.relative_to(place).parts[0]):
            yield file


def _required(lines: Iterable[str] | None) -> Iterator[str]:
    """What is required without asking for an extra."""
    yield from (line for line in lines or () if "extra ==" not in line)


def _classified(said: Any) -> Iterator[str]:
    named = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier", []) if line.startswith("License :: ")]
    short = (said["License"] or "").strip()
    if short and "\n" not in short and len(short) <= 60:  # else it is the whole text
        named = [short] if short.casefold() in SPDX or not named else named
    yield from sorted(set(named)) or ["told in its dist-info"]


def _sums(wheels: Path) -> dict[tuple[str, str], dict[frozenset[str], str]]:
    """By name and version, then by all tags of a wheel: its sum."""
    found: dict[tuple[str, str], dict[frozenset[str], str]] = {}
    for package in tomllib.loads(wheels.read_text(encoding="utf-8"))["package"]:
        files = found.setdefault((_normal(package["name"]), package.get("version", "")), {})
        for wheel in package.get("wheels", ()):
            pythons, abis, platforms = wheel["url"].removesuffix(".whl").rsplit("-", 3)[-3:]
            tags = (
                f"{python}-{abi}-{platform}"
                for python in pythons.split(".")
                for abi in abis.split(".")
                for platform in platforms.split(".")
            )
            files[frozenset(tags)] = wheel["hash"].removeprefix("sha256:")
    return found


def _sum(files: Mapping[frozenset[str], str], tags: frozenset[str]) -> str:
    """Of the wheel with these tags; a file's name may have more of them than the wheel says."""
    exact = files.get(tags)
    near = {sha256 for others, sha256 in files.items() if others & tags}
    return exact or (near.pop() if len(near) == 1 else "")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pypi(name: str, version: str) -> str:
    return f"pkg:pypi/{quote(_normal(name), safe='')}@{quote(version, safe='~')}"


# ---------------------------------------------------------------------------------------------------------- console


def _console(vendor: Path) -> Iterator[Part]:
    """The modules, as their table has them; one with several files is one."""
    table = (vendor / "README.md").read_text(encoding="utf-8")
    row = r"^\| \S+ \| (\S+) \| (\S+) \| \S+ \| \[(\S+)\]\((\S+)\) \|"
    for name, version, licence, text in dict.fromkeys(re.findall(row, table, re.MULTILINE)):
        purl = f"pkg:npm/{quote(name, safe='')}@{quote(version, safe='~')}"
        texts = {f"console/{name}-{version}.txt": (vendor / text).read_bytes()}
        yield Part("library", name, version, purl, licences=(licence,), texts=texts)


# -------------------------------------------------------------------------------------------------------- CycloneDX


def _component(part: Part) -> dict[str, Any]:
    made: dict[str, Any] = {"type": part.kind, "bom-ref": part.purl}
    if part.supplier:
        made["supplier"] = {"name": part.supplier}
    if part.publisher:
        made["publisher"] = part.publisher
    made |= {"name": part.name, "version": part.version}
    if part.sha256:
        made["hashes"] = [{"alg": "SHA-256", "content": part.sha256}]
    if part.expression:
        made["licenses"] = [{"expression": part.expression, "acknowledgement": "declared"}]
    elif part.licences:
        made["licenses"] = [{"license": _licence(name)} for name in _once(part.licences)]
    made["purl"] = part.purl
    if part.source:
        made["properties"] = [{"name": "modemhub:source", "value": part.source}]
    return made


def _once(names: Iterable[str]) -> Iterator[str]:
    """Two names of one licence are one."""
    seen: dict[str, str] = {}
    for name in names:
        seen.setdefault(SPDX.get(name.casefold(), name), name)
    yield from seen.values()


def _licence(name: str) -> dict[str, str]:
    identifier = SPDX.get(name.casefold())
    return ({"id": identifier} if identifier else {"name": name}) | {"acknowledgement": "declared"}
