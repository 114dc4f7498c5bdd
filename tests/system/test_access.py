"""Whoever locks himself out of a host is let in again by the host itself; what lets him in stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.effects import ssh
from tests.system.conftest import Stories

pytestmark = pytest.mark.lab

HOST = "app-1"
RULES = """flush ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        icmp type echo-request accept
        tcp dport { 22, 3310, 3311, 3410, 3411 } accept
    }
}
"""
CLEAN = """
rm -f /etc/ssh/sshd_config.d/50-amebo.conf /etc/sudoers.d/50-amebo
systemctl reload ssh
systemctl disable --quiet nftables
nft flush ruleset
cp {kept} /etc/nftables.conf
rm {kept}
"""


def run(stories: Stories, command: str, host: str = HOST) -> str:
    """As root, over a connection of its own."""
    output = ssh.run(host, stories.hosts.hosts[host], f"sudo -n sh -c '{command}'")
    assert output.code == 0, output.stderr
    return output.stdout


@pytest.fixture
def wanted(stories: Stories, tmp_path: Path) -> Iterator[Path]:
    """The file to be installed; the host is as before afterwards."""
    kept = "/root/nftables.before"
    run(stories, f"cp -p /etc/nftables.conf {kept}")
    yield tmp_path / "wanted"
    run(stories, CLEAN.format(kept=kept))


@pytest.mark.parametrize(
    ("subject", "path", "content", "why"),
    [
        ("sshd", "/etc/ssh/sshd_config.d/50-amebo.conf", "AllowUsers nobody\n", "Authentication failed"),
        pytest.param(
            *("sudo", "/etc/sudoers.d/50-amebo", "Defaults requiretty\n", "you must have a tty"),
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_change_that_locks_the_operator_out_is_undone_by_the_host(
    stories: Stories, wanted: Path, subject: str, path: str, content: str, why: str
) -> None:
    wanted.write_text(content)
    told = stories.ops("access", subject, str(wanted), "--host", HOST, "--yes", code=1)
    assert f"{HOST}: {path} is as it was before. The host has put it back by itself" in told
    assert why in told
    assert run(stories, f"ls {path} 2>/dev/null || echo gone") == "gone\n"


def test_a_firewall_that_lets_the_operator_in_stays(stories: Stories, wanted: Path) -> None:
    wanted.write_text(RULES)
    told = stories.ops("access", "firewall", str(wanted), "--host", HOST, "--yes", "--reason", "an audit")
    assert f"{HOST}: changed and confirmed" in told
    assert "policy drop" in run(stories, "nft list ruleset")
    assert run(stories, "systemctl is-enabled nftables") == "enabled\n"
    assert run(stories, "systemctl list-timers --all --no-legend amebo-revert*") == ""
    stories.wait_until_ready()
    assert "nothing to do" in stories.ops("access", "firewall", str(wanted), "--host", HOST, "--yes")


@pytest.mark.thorough
def test_a_firewall_that_keeps_the_operator_out_is_undone_by_the_host(stories: Stories, wanted: Path) -> None:
    wanted.write_text(RULES.replace("22, ", ""))
    assert "as it was before" in stories.ops("access", "firewall", str(wanted), "--host", HOST, "--yes", code=1)
    assert run(stories, "nft list ruleset") == ""


@pytest.fixture
def balancer(stories: Stories) -> Iterator[str]:
    """A load balancer, without additions to its nginx before and after."""
    name = stories.hosts.group("loadbalancers")[-1]
    yield name
    run(stories, "rm -f /etc/nginx/conf.d/50-amebo.conf && systemctl reload nginx", name)


def test_what_keeps_publishers_out_is_undone_at_once_and_what_does_not_stays(
    stories: Stories, balancer: str, tmp_path: Path
) -> None:
    wanted, to_it = tmp_path / "wanted", ("--host", balancer, "--yes")
    wanted.write_text("deny all;\n")
    told = stories.ops("access", "nginx", str(wanted), *to_it, code=1)
    assert "50-amebo.conf is as before. The change failed: /health through nginx: HTTP Error 403" in told
    wanted.write_text("server { listen nowhere of_no_kind; }\n")
    assert "was not changed: " in stories.ops("access", "nginx", str(wanted), *to_it, code=1)
    assert run(stories, "ls /etc/nginx/conf.d /var/lib/amebo-pending", balancer).split() == [
        *("/etc/nginx/conf.d:", "/var/lib/amebo-pending:", "lock")
    ]
    wanted.write_text("server { listen 127.0.0.1:8099; return 204; }\n")
    assert f"{balancer}: changed and confirmed" in stories.ops("access", "nginx", str(wanted), *to_it)
    asked = 'python3 -c "import urllib.request as u; print(u.urlopen(\\"http://127.0.0.1:%d\\").status)"'
    assert run(stories, asked % 8099, balancer) == "204\n"
    assert "all traffic" in stories.ops("status")
