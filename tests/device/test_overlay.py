"""The files of the root that belong to the device tool, by the opinion of the programs that read them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from image.device.__main__ import main
from tests.device.judges import nft_takes, tool

OVERLAY = Path(__file__).resolve().parents[2] / "image" / "card" / "overlay"
UNITS = OVERLAY / "usr/lib/systemd/system"
OURS = sorted(path for path in UNITS.glob("modemhub-*") if path.is_file())
HANDLERS = [OVERLAY / "usr/lib/modemhub-device" / name for name in ("admit", "installed")]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """What is wrong with a line; that the programs are not on this machine is no fault of theirs."""
    here = tmp_path / "units"
    here.mkdir()
    for unit in OURS:
        text = re.sub(r"^(Exec\w+=)(/usr/\S+)", r"\1/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (here / unit.name).write_text(text, encoding="utf-8")
    argv: list[str | Path] = [tool("systemd-analyze"), "verify", *sorted(here.iterdir())]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if str(here) in line or line.startswith("modemhub-")]
    # older than the device's: systemd 254 has it first
    assert [line for line in lines if "ImportCredential" not in line] == []
    assert "ordering cycle" not in done.stderr


def test_every_link_leads_to_a_unit_of_ours_or_of_debian() -> None:
    links = sorted(UNITS.glob("*.wants/*"))
    assert links
    for link in links:
        target = (link.parent / link.readlink()).resolve()
        assert target.parent == UNITS
        assert target.exists() or link.name == "nftables.service", link


def test_the_command_line_knows_what_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {
        words: file.name
        for file in (*OURS, *HANDLERS)
        for words in re.findall(r"(?:=|exec )/usr/bin/modemhub-device (.*)", file.read_text(encoding="utf-8"))
    }
    assert {"boot", "prove", "update admit"} <= asked.keys()
    for words, name in asked.items():
        with pytest.raises(SystemExit):
            main([*words.split(), "--no-such-option"])  # all before it is right, and nothing is done
        assert capsys.readouterr().err.endswith("error: unrecognized arguments: --no-such-option\n"), name


def test_the_proof_loads_nothing_of_what_fetches_updates() -> None:
    """It runs at each start, on a small Pi too."""
    script = "import sys; from image.device.__main__ import main\ntry: main(['prove', '--no-such-option'])\n"
    script += "except SystemExit: print(*sorted({'urllib.request', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=OVERLAY.parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_systemd_reads_the_mounts_as_they_are_meant(tmp_path: Path) -> None:
    """Of the own disk; /data is checked by ``mend``, the FAT by its fsck, the root by nobody; no start hangs on it."""
    generator = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")
    if not generator.exists():
        pytest.skip("systemd is not installed")
    argv: list[str | Path] = [generator, tmp_path, tmp_path, tmp_path]
    subprocess.run(argv, check=True, env={"SYSTEMD_FSTAB": str(OVERLAY / "etc/fstab")}, capture_output=True)
    data = (tmp_path / "data.mount").read_text(encoding="utf-8").splitlines()
    assert {"What=/dev/modemhub/data", "Requires=modemhub-mend.service", "After=modemhub-mend.service"} <= set(data)
    fat = (tmp_path / "boot-firmware.mount").read_text(encoding="utf-8").splitlines()
    assert {"What=/dev/modemhub/boot", "Requires=systemd-fsck@dev-modemhub-boot.service"} <= set(fat)
    text = "\n".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("*.mount"))
    assert re.findall(r"Requires=(systemd-fsck\S*)", text) == ["systemd-fsck@dev-modemhub-boot.service"]
    required = {path.name for path in tmp_path.glob("local-fs.target.requires/*")}
    assert required == {"tmp.mount", "var-log.mount", "var-tmp.mount"}


def test_sshd_lets_keys_in_and_nobody_else(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    config = tmp_path / "sshd_config"
    text = (OVERLAY / "etc/ssh/sshd_config.d/modemhub.conf").read_text(encoding="utf-8")
    config.write_text(text.replace("/data/device/ssh/ssh_host_ed25519_key", str(key)), encoding="utf-8")
    done = subprocess.run([tool("sshd"), "-T", "-f", config], capture_output=True, text=True, check=False)
    if "privilege separation" in done.stderr:
        pytest.skip(f"no sshd here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    for line in (
        *("permitrootlogin without-password", "passwordauthentication no", "kbdinteractiveauthentication no"),
        *("authenticationmethods publickey", "permitemptypasswords no", "allowusers root"),
    ):
        assert line in said


def test_nft_takes_the_rules_of_last_resort() -> None:
    nft_takes(OVERLAY / "etc/nftables.conf")


def test_the_last_partition_grows_once(tmp_path: Path) -> None:
    """The shell script, on a file instead of a disk: what sysfs and partx would be is written here."""
    disk = tmp_path / "sdx"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    table = "label: dos\nlabel-id: 0x4d485542\nstart=8192,size=8192,type=c\nstart=16384,size=8192,type=83\n"
    subprocess.run([tool("sfdisk"), "-q", disk], input=table, text=True, check=True)
    sysfs = tmp_path / "block"
    (sysfs / "sdx").mkdir(parents=True)
    (sysfs / "sdx2").mkdir()
    (sysfs / "sdx/size").write_text(f"{(64 << 20) // 512}\n", encoding="utf-8")
    (sysfs / "sdx2/start").write_text("16384\n", encoding="utf-8")
    (sysfs / "sdx2/size").write_text("8192\n", encoding="utf-8")
    (tmp_path / "bin").mkdir()
    partx = tmp_path / "bin/partx"
    partx.write_text(f"#!/bin/sh\necho {(64 << 20) // 512 - 16384} > {sysfs}/sdx2/size\n", encoding="utf-8")
    partx.chmod(0o755)
    script = tmp_path / "grow"
    source = (OVERLAY / "usr/lib/modemhub-device/grow").read_text(encoding="utf-8")
    (sysfs / "sdx/sdx1").mkdir()
    for theirs, ours in (
        ("/sys/dev/block/$(mountpoint -d /)", str(sysfs / "sdx/sdx1")),
        ("/sys/class/block", str(sysfs)),
        ("/dev/$disk", str(disk)),
    ):
        assert theirs in source
        source = source.replace(theirs, ours)
    script.write_text(source, encoding="utf-8")
    environment = {"PATH": f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

    def ran() -> str:
        before = disk.stat().st_mtime_ns
        subprocess.run(["sh", script, "2"], env=environment, check=True)
        dump = subprocess.run([tool("sfdisk"), "-d", disk], capture_output=True, text=True, check=True).stdout
        assert (disk.stat().st_mtime_ns != before) is (not told)
        return dump

    told: list[str] = []
    told.append(ran())
    assert re.search(r"sdx1 : start= *8192, size= *8192, type=c", told[0])
    assert re.search(rf"sdx2 : start= *16384, size= *{(64 << 20) // 512 - 16384}, type=83", told[0])
    assert "label-id: 0x4d485542" in told[0]
    assert ran() == told[0]
