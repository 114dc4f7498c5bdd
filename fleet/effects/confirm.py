"""Changes a file that can lock people out; the host puts it back unless a fresh SSH connection confirms it."""

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleet.effects import pending, ssh
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable, StepFailed

FOLDER = "/var/lib/amebo-pending"
UNITS = "/etc/systemd/system"
PROGRAM = Path(pending.__file__).read_text()
SECONDS = 30  # until the host puts the file back
ANSWER_SECONDS = 15
# Few: each one that sshd refuses may count against the operator's address. The last are after the host's time.
PAUSES = (1.0, 10.0, 10.0, 10.0, 10.0)

Json = dict[str, Any]
Ask = Callable[[str, str, Mapping[str, Any]], Json]
"""Host, verb and request → answer, over a connection of its own; raises HostUnreachable when there is none."""


@dataclass(frozen=True)
class Subject:
    """A file that can lock people out. `check` gets a file's name; the rest is for the host's shell, as root.

    `save` and `undo` run in the folder of the old state: before the change, and after the old file was put back.
    `keep` runs once the change is confirmed. Only hosts of `group` have it.
    """

    name: str
    path: str
    mode: int
    check: tuple[str, ...]
    apply: str
    undo: str
    save: str = ":"
    keep: str = ":"
    group: str = "all"

    def on(self, variables: Mapping[str, Any]) -> "Subject":
        """As a host with these variables has it."""
        return replace(self, apply=self.apply.replace("@PORT@", str(int(variables.get("nginx_listen_port", 80)))))


# The whole configuration with the new file in place of those in its folder.
_CHECK_NGINX = """
if ! grep -q 'include /etc/nginx/conf.d/' /etc/nginx/nginx.conf; then
    echo 'nginx reads no such file yet: run playbooks/site.yml'
    exit 1
fi
sed "s|include /etc/nginx/conf.d/.*;|include $0;|" /etc/nginx/nginx.conf > "$0.whole"
nginx -t -q -c "$0.whole"
code=$?
rm "$0.whole"
exit $code
"""
# Workers that are not shutting down are new ones, so it is the new configuration that answers.
_APPLY_NGINX = """
nginx -t -q || exit 1
workers() { pgrep -xf 'nginx: worker process'; }
was=$(workers)
systemctl reload nginx.service || exit 1
while workers | grep -qxF "$was"; do sleep 0.1; done
python3 - <<END
import urllib.request
try:
    urllib.request.urlopen("http://127.0.0.1:@PORT@/health", timeout=5).close()
except OSError as error:
    raise SystemExit(f"/health through nginx: {error}")
END
"""
_RELOAD_SSHD = "sshd -t && { systemctl is-active --quiet ssh.socket || systemctl reload-or-restart ssh.service; }"
SUBJECTS = {
    each.name: each
    for each in (
        Subject(
            "sshd", "/etc/ssh/sshd_config.d/50-amebo.conf", 0o644, ("sshd", "-t", "-f"), _RELOAD_SSHD, _RELOAD_SSHD
        ),
        Subject(
            "firewall",
            "/etc/nftables.conf",
            0o755,
            ("nft", "-c", "-f"),
            apply="nft -f /etc/nftables.conf",
            undo="nft -f ruleset",  # what was in force, which the old file need not be
            save="{ echo flush ruleset && nft list ruleset; } > ruleset && nft -c -f ruleset",
            keep="systemctl enable --quiet nftables.service",
        ),
        Subject("sudo", "/etc/sudoers.d/50-amebo", 0o440, ("visudo", "-c", "-f"), apply="visudo -c", undo=":"),
        Subject(
            "nginx",
            "/etc/nginx/conf.d/50-amebo.conf",
            0o644,
            ("sh", "-c", _CHECK_NGINX),
            apply=_APPLY_NGINX,
            undo="systemctl reload nginx.service",
            group="loadbalancers",
        ),
    )
}


def over_ssh(inventory: Inventory, folder: str = FOLDER, units: str = UNITS) -> Ask:
    """Each question is a connection of its own, so that an answer proves that one can still be made."""

    def ask(host: str, verb: str, request: Mapping[str, Any]) -> Json:
        told = ssh.run(host, inventory.hosts[host], command(folder, verb, {**request, "units": units}), ANSWER_SECONDS)
        if told.code != 0:
            words = told.stderr.strip().splitlines()[-1:] or [f"exit code {told.code}"]
            raise HostUnreachable(f"{host} answers, but not as root: {words[0]}")
        answer: Json = json.loads(told.stdout)
        return answer

    return ask


def command(folder: str, verb: str, request: Mapping[str, Any]) -> str:
    """For the host's shell. Program and file go through a pipe, so that sudo's log has the verb alone."""
    program = f"{PROGRAM}\nmain({folder!r}, {verb!r}, {dict(request)!r})\n"
    return f"printf %s {shlex.quote(program)} | sudo -n python3 - {shlex.quote(verb)}"


def look(ask: Ask, host: str, subject: Subject, content: bytes) -> Json:
    """The file's `text` or None, whether it is the `same`, whether a change of it is `pending`. Reads only."""
    return ask(host, "look", _request(subject, content))


def change(
    ask: Ask,
    host: str,
    subject: Subject,
    content: bytes,
    seconds: int = SECONDS,
    pauses: Sequence[float] = PAUSES,
) -> bool:
    """Install the file and confirm it; False if it was there already.

    Raises StepFailed, which says how the host is left, when it was refused, undone, or could not be confirmed.
    """
    request = {**_request(subject, content), "seconds": seconds}
    try:
        installed = ask(host, "install", request)
    except HostUnreachable as error:  # the change itself may have cut the connection
        _confirm(ask, host, subject, request, pauses, str(error))
        return True
    if problem := installed.get("refused"):
        raise StepFailed(f"{host}: {subject.path} was not changed: {problem}", frozenset({host}))
    _refuse_undone(host, subject, installed)
    if installed["changed"]:
        _confirm(ask, host, subject, request, pauses)
    return bool(installed["changed"])


def _confirm(
    ask: Ask, host: str, subject: Subject, request: Mapping[str, Any], pauses: Sequence[float], why: str = ""
) -> None:
    """The host alone decides whether it was in time: it is asked until it says."""
    for pause in (0.0, *pauses):
        time.sleep(pause)
        try:
            answer = ask(host, "confirm", request)
        except HostUnreachable as error:
            why = str(error)
            continue
        _refuse_undone(host, subject, answer)
        if not answer["confirmed"]:
            raise StepFailed(
                f"{host}: {subject.path} is as it was before. The host has put it back by itself, because no fresh "
                f"connection could confirm the change: {why}",
                frozenset({host}),
            )
        if problem := answer["problem"]:
            raise StepFailed(f"{host}: {subject.path} is changed and confirmed, but: {problem}", frozenset({host}))
        return
    raise StepFailed(
        f"{host}: no fresh connection could confirm the change of {subject.path}: {why}. The host should have put it "
        f"back by itself, and still cannot be asked; at its console: journalctl -u amebo-revert-{subject.name}",
        frozenset({host}),
    )


def _refuse_undone(host: str, subject: Subject, answer: Json) -> None:
    """What could not be put into force, or was not for certain."""
    if problem := answer.get("undone"):
        how = (
            f"could not be put back yet, and will be tried again ({answer['left']})"
            if answer["left"]
            else "is as before"
        )
        raise StepFailed(f"{host}: {subject.path} {how}. The change failed: {problem}", frozenset({host}))


def _request(subject: Subject, content: bytes) -> Json:
    return {
        "name": subject.name,
        "path": subject.path,
        "mode": subject.mode,
        "content": content,
        "check": list(subject.check),
        "apply": subject.apply,
        "undo": subject.undo,
        "save": subject.save,
        "keep": subject.keep,
    }
