"""A prepared host, looked at from outside."""

from testinfra.host import Host


def test_admins_find_their_tools(host: Host) -> None:
    assert host.exists("jq")
    assert host.exists("curl")


def test_a_firewall_can_be_set_up_and_is_not(host: Host) -> None:
    assert host.check_output("nft list ruleset") == ""
    assert not host.service("nftables").is_enabled


def test_the_host_takes_many_connections_at_once(host: Host) -> None:
    assert host.sysctl("net.core.somaxconn") == 4096


def test_what_belongs_to_the_machine_is_left_alone_in_a_container(host: Host) -> None:
    assert host.run("systemd-detect-virt --container").stdout.strip() == "systemd-nspawn"
    assert not host.file("/etc/sysctl.d/60-amebo.conf").contains("vm.")


def test_the_journal_stays_on_disk(host: Host) -> None:
    assert host.file("/var/log/journal").is_directory
    assert "SystemMaxUse=1G" in host.check_output("systemd-analyze cat-config systemd/journald.conf")
