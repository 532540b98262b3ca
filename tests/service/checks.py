"""What the service has to do on a real systemd, in the order of a life: each looks, and returns what it saw."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from drivers.signing import new_secret
from tests.service.machine import Machine, Unmet, until

UNIT = "bellcrank.service"
CONFIG = "/etc/bellcrank/bellcrank.yaml"
SECRETS = "/etc/bellcrank/secrets.yaml"
CURRENT = "/opt/bellcrank/current"
OLD_SECRET, NEW_SECRET, CREDENTIAL = (new_secret(bytes([n]) * 32) for n in (1, 2, 3))
RUNNING = """\
# This line is a person's.
version: 1
sources:
  demo: {driver: simulated, every: 1s, sensors: {n: {wave: {noise: {min: 0, max: 100}}}}}
rules:
  told: {sensor: demo.n, each: {reading: true}}
webhooks:
  ops: {url: "http://127.0.0.1:9000/", secrets: [!secret ops_whsec]}
"""


def installs_in_one_command(m: Machine) -> str:
    began = time.monotonic()
    said = m.run("/src/scripts/install", "--wheels", "/wheels").stdout
    _expect("Done: bellcrank" in said, said)
    modes = m.says("stat", "-c", "%a %U:%G", "/etc/bellcrank", CONFIG, SECRETS, "/var/lib/bellcrank")
    wanted = ["750 root:bellcrank", "640 root:bellcrank", "640 root:bellcrank", "700 bellcrank:bellcrank"]
    _expect(modes.splitlines() == wanted, modes)
    enabled = m.says("systemctl", "is-enabled", UNIT)
    _expect((enabled, m.says("systemctl", "is-active", UNIT)) == ("enabled", "active"), enabled)
    return f"{time.monotonic() - began:.0f} s, {m.says('readlink', CURRENT)}, configuration 640 root:bellcrank"


def is_ready_and_says_so(m: Machine) -> str:
    status = m.show(UNIT, "StatusText")
    _expect(re.search(r"\d+ source.*\d+ rule.*\d+ webhook", status), status)
    user = m.says("ps", "-o", "user:20=,supgrp:40=", "-p", m.show(UNIT, "MainPID"))
    _expect(user.split()[0] == "bellcrank" and "dialout" in user, user)
    told = json.loads(m.says("bellcrank", "status", "--json"))
    return f"STATUS={status}; as {' '.join(user.split())}; `bellcrank status` answers as {told['agent']['version']}"


def the_command_shows_all_on_a_dry_run(m: Machine) -> str:
    before = m.says("find", "/opt", "/etc", "/usr/local", "/var/backups", "-newermt", "-1 hour", "-ls")
    said = m.run("bellcrank", "install", "--dry-run").stdout
    after = m.says("find", "/opt", "/etc", "/usr/local", "/var/backups", "-newermt", "-1 hour", "-ls")
    _expect(before == after and "Keep a copy of the outbox" in said, said)
    return f"{len(re.findall(r'^ *[0-9]+ ', said, re.MULTILINE))} steps printed, no file changed"


def applies_a_reload(m: Machine) -> str:
    _write(m, SECRETS, f"ops_whsec: {OLD_SECRET}\n")
    _write(m, CONFIG, RUNNING)
    pid = m.show(UNIT, "MainPID")
    m.run("systemctl", "reload", UNIT)
    status = until(lambda: _other(m.show(UNIT, "StatusText"), "reloading"), 20, "it stays at reloading")
    _expect(m.show(UNIT, "MainPID") == pid, "another process")
    until(lambda: "demo.n" in m.says("bellcrank", "sensors"), 20, "no reading of the new source")
    _write(m, CONFIG, RUNNING.replace("reading: true", "reeding: true"))
    m.run("systemctl", "reload", UNIT)
    error = until(lambda: m.says("journalctl", "-u", UNIT, "-p", "err", "-o", "cat"), 20, "no error in the journal")
    _expect("reeding" in error and m.show(UNIT, "ActiveState") == "active", error)
    _write(m, CONFIG, RUNNING)
    m.run("systemctl", "reload", UNIT)
    return f"same process, STATUS={status}; a bad one changes nothing: {error.splitlines()[0][:90]}"


def gives_the_journal_its_priorities(m: Machine) -> str:
    said = m.says("journalctl", "-u", UNIT, "-o", "json", "_COMM=bellcrank")
    lines = [json.loads(line) for line in said.splitlines()]
    mine = [line for line in lines if line.get("_TRANSPORT") == "stdout"]
    of = {priority: [one["MESSAGE"] for one in mine if one["PRIORITY"] == priority] for priority in "346"}
    _expect(of["3"] and of["6"] and not any(re.match(r"<\d>", one["MESSAGE"]) for one in mine), str(of)[:500])
    errors = m.says("journalctl", "-u", UNIT, "-p", "err", "-o", "cat").splitlines()
    _expect(len(errors) == len(of["3"]), str(errors))
    return f"{len(of['6'])} of PRIORITY 6, {len(of['4'])} of 4, {len(of['3'])} of 3, which is all that -p err shows"


def takes_secrets_that_a_reload_rotates(m: Machine) -> str:
    old = _heard(m, OLD_SECRET)
    _write(m, SECRETS, f"ops_whsec: {NEW_SECRET}\n")
    m.run("systemctl", "reload", UNIT)
    until(lambda: _other(m.show(UNIT, "StatusText"), "reloading"), 20, "it stays at reloading")
    return f"before: {old}; after, with the new secret alone: {_heard(m, NEW_SECRET)}"


def takes_credentials_of_systemd(m: Machine) -> str:
    _write(m, "/etc/credstore/ops_whsec", CREDENTIAL)
    drop_in = "/etc/systemd/system/bellcrank.service.d/secret.conf"
    _write(m, drop_in, "[Service]\nLoadCredential=ops_whsec:/etc/credstore/ops_whsec\n")
    _write(m, CONFIG, RUNNING.replace("!secret ops_whsec", "!credential ops_whsec"))
    m.run("systemctl", "daemon-reload")
    m.run("systemctl", "restart", UNIT)
    m.path("/etc/credstore/ops_whsec").chmod(0o600)
    return f"LoadCredential=, and nothing in secrets.yaml: {_heard(m, CREDENTIAL)}"


def kills_a_loop_that_has_stopped(m: Machine) -> str:
    pid = _settled(m)
    m.run("kill", "-STOP", pid)
    return _killed_by_the_watchdog(m, pid)


def kills_a_writer_that_is_stuck(m: Machine) -> str:
    pid = _settled(m)
    m.run("systemctl", "reload", UNIT)
    output = m.root.parent / "freeze.log"
    frozen = m.begin(output, "python3", "/src/tests/service/freeze.py", pid)
    until(lambda: b"are stopped" in output.read_bytes(), 10, lambda: output.read_text())
    seen = _killed_by_the_watchdog(m, pid)
    frozen.wait(30)
    return f"{output.read_text().strip()}; {seen}"


def stops_in_order(m: Machine) -> str:
    began = time.monotonic()
    m.run("systemctl", "stop", UNIT)
    took_s = time.monotonic() - began
    ended = [m.show(UNIT, name) for name in ("ActiveState", "Result", "ExecMainStatus")]
    _expect(ended == ["inactive", "success", "0"], str(ended))
    _expect(not m.path("/var/lib/bellcrank/outbox.db-wal").exists(), "the log is not taken in")
    said = m.says("journalctl", "-u", UNIT, "-o", "cat", "-n", "8").splitlines()
    _expect(any(line.endswith("stopping") for line in said), str(said))
    m.run("systemctl", "start", UNIT)
    return f"{took_s:.1f} s, exit code 0, the log taken in"


def starts_again_after_kill_9(m: Machine) -> str:
    pid = _settled(m)
    m.run("kill", "-KILL", pid)
    return f"{pid} became {_next_pid(m, pid, 30)}"


def does_not_start_again_with_a_bad_configuration(m: Machine) -> str:
    good = m.path(CONFIG).read_text()
    _write(m, CONFIG, good.replace("reading: true", "reeding: true"))
    m.run("systemctl", "restart", UNIT, check=False)
    until(lambda: m.show(UNIT, "ActiveState") == "failed", 30, lambda: m.show(UNIT, "ActiveState"))
    time.sleep(12)  # RestartSec is 5
    seen = [m.show(UNIT, name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    _write(m, CONFIG, good)
    m.run("systemctl", "restart", UNIT)
    _expect(seen == ["failed", "78", "0"], str(seen))
    return "exit code 78, failed, 0 restarts after 12 s; mended, it starts"


def runs_several_agents(m: Machine) -> str:
    for name in ("garage", "attic"):
        m.run("bellcrank", "install", "--instance", name, "--wheels", "/wheels")
    units = [UNIT, "bellcrank@garage.service", "bellcrank@attic.service"]
    pids = {unit: m.show(unit, "MainPID") for unit in units}
    _expect(len({*pids.values(), "0"}) == 4, str(pids))
    told = []
    for name in ("bellcrank", "garage", "attic"):
        status = json.loads(m.says("bellcrank", "status", "--json", "--config", f"/etc/bellcrank/{name}.yaml"))
        listen = re.search(r"listen: (\S+)", m.path(f"/etc/bellcrank/{name}.yaml").read_text())
        port = listen[1] if listen else "127.0.0.1:8321"
        told.append((status["agent"]["name"], status["agent"]["id"], port, _ready(m, port)))
    _expect(len({one[1] for one in told}) == len({one[2] for one in told}) == 3, str(told))
    _expect(all(one[3] == "ready" for one in told), str(told))
    return ", ".join(f"{name} at {port}" for name, _, port, _ in told)


def updates_all_of_them(m: Machine) -> str:
    before, config = m.says("readlink", CURRENT), m.path(CONFIG).read_text()
    said = m.run("bellcrank", "install", "/releases/bellcrank-0.1.1-py3-none-any.whl", "--wheels", "/wheels").stdout
    _expect(m.path(CONFIG).read_text() == config, "the configuration has changed")
    versions = {_version(m, name) for name in ("bellcrank", "garage", "attic")}
    _expect(versions == {"0.1.1"}, f"{versions} {said}")
    kept = m.says("sh", "-c", "ls /var/backups/bellcrank/*/")
    _expect(kept.split().count("etc") == 1 and "garage.outbox" in kept, kept)
    return f"{before} -> {m.says('readlink', CURRENT)}, three agents; kept: {' '.join(kept.split())}"


def goes_back_where_a_new_version_does_not_start(m: Machine) -> str:
    return _goes_back(m, "0.2.0", "stays as it is")


def goes_back_where_a_new_version_has_changed_the_tables(m: Machine) -> str:
    seen = _goes_back(m, "0.3.0", "")
    aside = m.says("sh", "-c", "ls -d /var/lib/bellcrank/outbox.replaced-*")
    _expect(aside, "no outbox was set aside")
    return f"{seen}; the changed outbox lies in {aside.split()[0]}"


def goes_back_when_asked(m: Machine) -> str:
    m.run("bellcrank", "install", "--back", "--yes")
    versions = {_version(m, name) for name in ("bellcrank", "garage", "attic")}
    _expect(versions == {"0.1.0"}, str(versions))
    return f"0.1.1 -> {versions.pop()}, three agents"


def refuses_in_plain_words(m: Machine) -> str:
    _write(m, "/etc/systemd/system/bellcrank.service", "[Service]\nExecStart=/bin/true\n")
    said = m.run("bellcrank", "install", check=False)
    m.path("/etc/systemd/system/bellcrank.service").unlink()
    _expect(said.returncode == 1 and "hides the unit" in said.stdout, said.stdout)
    user = m.run("runuser", "-u", "nobody", "--", "bellcrank", "install", check=False)
    _expect(user.returncode == 1 and "sudo" in user.stdout, user.stdout + user.stderr)
    return f"{user.stdout.strip().splitlines()[-1]}; {said.stdout.strip().splitlines()[-1]}"


def uninstalls_and_keeps_the_data(m: Machine) -> str:
    m.run("bellcrank", "uninstall", "--instance", "attic")
    _expect(m.says("systemctl", "is-active", "bellcrank@garage.service") == "active", "the garage is off too")
    said = m.run("bellcrank", "uninstall").stdout
    gone = ("/opt/bellcrank", "/usr/local/bin/bellcrank", "/usr/local/lib/systemd/system/bellcrank.service")
    _expect(not any(m.path(path).is_symlink() or m.path(path).exists() for path in gone), "programs are left")
    kept = (CONFIG, SECRETS, "/var/lib/bellcrank/outbox.db", "/var/lib/bellcrank-garage/outbox.db")
    _expect(all(m.path(path).exists() for path in kept), "data is gone")
    _expect(m.show(UNIT, "LoadState") == "not-found", m.show(UNIT, "LoadState"))
    return said.strip().splitlines()[-1]


def installs_again_on_what_was_kept(m: Machine) -> str:
    size = m.path("/var/lib/bellcrank/outbox.db").stat().st_size
    said = m.run("/src/scripts/install", "--wheels", "/wheels").stdout
    _expect("This line is a person's." in m.path(CONFIG).read_text(), said)
    return f"{m.says('systemctl', 'is-active', UNIT)} with the configuration and the outbox ({size} bytes) of before"


def purges_when_told_to(m: Machine) -> str:
    asked = m.run("bellcrank", "uninstall", "--purge", text="n\n", check=False)
    _expect(asked.returncode == 1 and m.path(CONFIG).exists(), asked.stdout)
    m.run("bellcrank", "uninstall", "--purge", "--yes")
    left = m.says("sh", "-c", "ls -d /etc/bellcrank /var/*/bellcrank* /opt/bellcrank 2>/dev/null")
    _expect(left == "" and not m.says("getent", "passwd", "bellcrank"), left)
    return "asked first; then nothing is left, not even the user"


CHECKS: tuple[Callable[[Machine], str], ...] = (
    installs_in_one_command,
    is_ready_and_says_so,
    the_command_shows_all_on_a_dry_run,
    applies_a_reload,
    gives_the_journal_its_priorities,
    takes_secrets_that_a_reload_rotates,
    takes_credentials_of_systemd,
    kills_a_loop_that_has_stopped,
    kills_a_writer_that_is_stuck,
    stops_in_order,
    starts_again_after_kill_9,
    does_not_start_again_with_a_bad_configuration,
    runs_several_agents,
    updates_all_of_them,
    goes_back_where_a_new_version_does_not_start,
    goes_back_where_a_new_version_has_changed_the_tables,
    goes_back_when_asked,
    refuses_in_plain_words,
    uninstalls_and_keeps_the_data,
    installs_again_on_what_was_kept,
    purges_when_told_to,
)


# -- how they look


def _expect(seen: object, otherwise: str) -> None:
    if not seen:
        raise Unmet(otherwise)


def _write(m: Machine, path: str, text: str) -> None:
    """As an editor does: the file keeps its owner and mode."""
    target = m.path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def _other(text: str, than: str) -> str:
    return "" if text == than else text


def _heard(m: Machine, secret: str) -> str:
    """What a receiver with this secret alone says of a test event."""
    _write(m, "/root/whsec", secret + "\n")
    output = m.root.parent / "listen.log"
    receiver = m.begin(output, "bellcrank", "listen", "--secret-file", "/root/whsec")
    try:
        until(lambda: "listening" in output.read_text(), 20, lambda: output.read_text())
        m.run("bellcrank", "webhooks", "test", "ops")
        tested = re.compile(r"^VERIFIED ", re.MULTILINE)
        until(lambda: tested.search(output.read_text()), 20, lambda: output.read_text())
        return "the receiver says VERIFIED"
    finally:
        m.end(receiver)


def _settled(m: Machine) -> str:
    """The process, once it runs well."""
    until(lambda: m.show(UNIT, "ActiveState") == "active", 60, lambda: m.show(UNIT, "ActiveState"))
    m.run("systemctl", "reset-failed", UNIT, check=False)
    return m.show(UNIT, "MainPID")


def _killed_by_the_watchdog(m: Machine, pid: str) -> str:
    began = time.monotonic()
    cry = "Watchdog timeout"
    known = m.says("journalctl", "-u", UNIT, "-o", "cat").count(cry)
    until(lambda: m.says("journalctl", "-u", UNIT, "-o", "cat").count(cry) > known, 40, "the watchdog says nothing")
    noticed_s = time.monotonic() - began
    _expect(noticed_s <= 30, f"noticed only after {noticed_s:.0f} s")
    after = _next_pid(m, pid, 60)
    return f"noticed after {noticed_s:.0f} s, ready again as {after} after {time.monotonic() - began:.0f} s"


def _next_pid(m: Machine, pid: str, within_s: float) -> str:
    def look() -> str:
        now = m.show(UNIT, "MainPID")
        return now if now not in ("0", pid) and m.show(UNIT, "ActiveState") == "active" else ""

    return until(look, within_s, lambda: f"MainPID {m.show(UNIT, 'MainPID')}, {m.show(UNIT, 'ActiveState')}")


def _ready(m: Machine, address: str) -> str:
    ask = f"import urllib.request as u; print(u.urlopen('http://{address}/readyz', timeout=5).read().decode().strip())"
    return m.says("python3", "-c", ask)


def _version(m: Machine, name: str) -> str:
    said = m.says("bellcrank", "status", "--json", "--config", f"/etc/bellcrank/{name}.yaml")
    version: str = json.loads(said)["agent"]["version"]
    return version


def _goes_back(m: Machine, version: str, says: str) -> str:
    before, owed = m.says("readlink", CURRENT), _owed(m)
    name = f"bellcrank-{version}-py3-none-any.whl"
    done = m.run("bellcrank", "install", f"/releases/{name}", "--wheels", "/wheels", check=False)
    _expect(done.returncode == 1 and "broken on purpose" in done.stdout, done.stdout + done.stderr)
    _expect(m.says("readlink", CURRENT) == before and says in done.stdout + says, done.stdout)
    versions = {_version(m, name) for name in ("bellcrank", "garage", "attic")}
    _expect(versions == {"0.1.1"}, str(versions))
    _expect(_owed(m) >= owed, f"{owed} were owed, now {_owed(m)}")
    _expect(not m.path(f"/opt/bellcrank/releases/{version}-3").exists(), "the broken release is left")
    why = re.search(r"it ended.*|it ends.*|not ready.*", done.stdout)
    told = f"exit code 1, “{why[0] if why else done.stdout}”, with its log lines"
    return f"{told}; {Path(before).name} runs, {owed} owed before, {_owed(m)} now"


def _owed(m: Machine) -> int:
    return int(json.loads(m.says("bellcrank", "status", "--json"))["outbox"]["owed"])
