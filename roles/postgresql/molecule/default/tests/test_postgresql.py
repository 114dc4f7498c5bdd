"""A database as its clients and its admin find it."""

import pytest
from testinfra.host import Host


def as_admin(host: Host, query: str) -> str:
    return str(host.check_output(f'cd / && sudo -u postgres psql -AtXq amebo -c "{query}"'))


def address(host: Host) -> str:
    return str(host.check_output("hostname -I").split()[0])


@pytest.mark.parametrize(
    ("name", "value"), [("max_connections", "120"), ("shared_buffers", "64MB"), ("work_mem", "6MB")]
)
def test_settings_are_in_force(host: Host, name: str, value: str) -> None:
    assert as_admin(host, f"SHOW {name}") == value


def test_nothing_waits_for_a_restart(host: Host) -> None:
    assert as_admin(host, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"


def test_the_owner_owns_the_database(host: Host) -> None:
    assert as_admin(host, "SELECT datdba::regrole FROM pg_database WHERE datname = 'amebo'") == "amebo_owner"


@pytest.mark.parametrize("role", ["amebo_owner", "amebo_service", "amebo_reader"])
def test_roles_may_do_no_more_than_log_in_with_scram(host: Host, role: str) -> None:
    rights = (
        "SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,"
        " left(rolpassword, 13) FROM pg_authid"
    )
    assert f"{role}|t|f|f|f|f|f|SCRAM-SHA-256" in as_admin(host, rights).splitlines()


def test_only_the_owner_may_create_tables(host: Host) -> None:
    privilege = "SELECT has_schema_privilege('{}', 'public', 'CREATE')"
    assert as_admin(host, privilege.format("amebo_owner")) == "t"
    assert as_admin(host, privilege.format("amebo_service")) == "f"


def test_strangers_may_not_connect(host: Host) -> None:
    assert as_admin(host, "SELECT has_database_privilege('public', 'amebo', 'CONNECT')") == "f"


def test_a_wrong_password_is_refused_from_the_network(host: Host) -> None:
    attempt = host.run(f"PGPASSWORD=wrong psql -h {address(host)} -U amebo_service amebo -c 'SELECT 1'")
    assert attempt.failed
    assert "password authentication failed" in attempt.stderr


def test_the_superuser_cannot_come_from_the_network(host: Host) -> None:
    attempt = host.run(f"PGPASSWORD=wrong psql -h {address(host)} -U postgres amebo -c 'SELECT 1'")
    assert attempt.failed
    assert "no pg_hba.conf entry" in attempt.stderr
