"""Another database server takes over in the middle of a change, as whatever manages them would let it."""

from collections.abc import Callable, Iterator

import pytest

from fleet.effects import ssh
from tests.system.conftest import LAB, ROOT, Stories
from tests.system.test_faults_release import meanwhile
from tests.system.test_rolling_update import assert_nothing_lost

pytestmark = [pytest.mark.lab, pytest.mark.thorough]

HOST = "db-1"
PREPARE = """
set -e
V=$(ls /etc/postgresql)
COPY="sudo -u postgres pg_basebackup -h /run/postgresql -X stream -c fast -R"
etc=/etc/postgresql/$V data=/var/lib/postgresql/$V
sql() { sudo -u postgres psql -qtA -p $1 -c "$2"; }
"""
SECOND_SERVER = """
echo "local replication postgres peer" >> $etc/main/pg_hba.conf
sql 5432 "select pg_reload_conf()"
pg_createcluster $V other -p 5433
cp -p $etc/main/pg_hba.conf $etc/other
cp -pr $etc/main/conf.d $etc/other
rm -rf $data/other
$COPY -p 5432 -C -S other -D $data/other
systemctl start postgresql@$V-other
until [ "$(sql 5432 "select state from pg_stat_replication")" = streaming ]; do sleep 0.1; done
sql 5432 "alter system set synchronous_standby_names = '*'"
sql 5432 "select pg_reload_conf()"
"""
DIES = """
systemctl mask --runtime postgresql@$V-main
systemctl kill --signal KILL postgresql@$V-main
"""
TAKES_OVER = """
pg_ctlcluster $V other promote
sql 5433 "alter system reset all"
"""
AS_BEFORE = """
systemctl unmask --runtime postgresql@$V-main
systemctl stop postgresql@$V-main
rm -rf $data/main
$COPY -p 5433 -D $data/main
systemctl start postgresql@$V-main
until [ "$(sql 5433 "select state from pg_stat_replication")" = streaming ]; do sleep 0.1; done
systemctl stop postgresql@$V-other
pg_ctlcluster $V main promote
sql 5432 "alter system reset all"
sed -i "/^local replication postgres peer/d" $etc/main/pg_hba.conf
sql 5432 "select pg_reload_conf()"
pg_dropcluster $V other
"""


@pytest.fixture
def on_its_host(stories: Stories) -> Callable[[str], None]:
    """Run this on the database's host, as root."""

    def run(script: str) -> None:
        done = ssh.run(HOST, stories.hosts.hosts[HOST], f"sudo -n sh -s <<'END'\n{PREPARE}{script}END", timeout=120)
        assert done.code == 0, done.stdout + done.stderr

    return run


@pytest.fixture
def two_servers(stories: Stories, on_its_host: Callable[[str], None]) -> Iterator[None]:
    """The service knows both, and each commit waits for both."""
    settings = ROOT / "inventory" / LAB / "group_vars/app/main.yml"
    usual, address = settings.read_text(), stories.hosts.hosts[HOST]["ansible_host"]
    on_its_host(SECOND_SERVER)
    try:
        settings.write_text(f'{usual}amebo_database_host: "{address},{address}:5433"\n')
        stories.play("deploy")
        yield
    finally:
        settings.write_text(usual)
        on_its_host(AS_BEFORE)
    stories.play("deploy")
    assert set(stories.versions()) == {stories.inventory().version}


@pytest.mark.usefixtures("two_servers")
def test_another_server_takes_over_in_the_middle_of_an_update(
    stories: Stories, on_its_host: Callable[[str], None]
) -> None:
    version, before, explained = stories.build(), stories.inventory().version, ""

    def fail_over() -> None:
        nonlocal explained
        on_its_host(DIES)
        explained = stories.ops("explain")
        on_its_host(TAKES_OVER)

    with stories.traffic() as traffic:
        code, output = meanwhile(stories, "soak", fail_over, "rolling-update", version, "--yes")
        stories.wait_until_ready()
        afterwards, told = stories.ops("explain"), stories.versions()
        taken_out = [peer for peer in stories.load_balancer().peers if peer.weight < 100]
        stories.ops("rolling-update", version, "--yes", "--soak", "0")
    assert "cannot reach the database" in explained
    assert "it is the database, or the way to it" in explained
    assert "the database" not in afterwards
    assert taken_out == []
    assert (set(told) == {version}) == (code == 0), output
    assert code == 0 or "database unreachable" in output
    assert set(told) <= {before, version}
    assert set(stories.versions()) == {version}
    assert_nothing_lost(traffic)
