"""Every template renders from its role's defaults, and the lines that matter are in it."""

import re
from pathlib import Path

import pytest

from app.storage.connection import is_well_formed
from tests.rendering import TEMPLATES, render, render_one


def settings(text: str) -> dict[str, str]:
    """The lines NAME=value of a file."""
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Za-z_]+=", line))


def directives(name: str) -> list[str]:
    """What the site says to each directive of this name."""
    return re.findall(rf"^ *{name} (.*?);", render_one("site.conf.j2"), re.MULTILINE)


@pytest.mark.parametrize(("role", "path"), TEMPLATES, ids=lambda value: getattr(value, "name", value))
def test_it_renders_from_defaults(role: str, path: Path) -> None:
    text = render(role, path)
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize(("role", "path"), TEMPLATES, ids=lambda value: getattr(value, "name", value))
def test_it_is_the_same_each_time(role: str, path: Path) -> None:
    assert render(role, path) == render(role, path)


@pytest.mark.parametrize("line", ["keepalive 16;", "keepalive_timeout 5s;"])
def test_the_instances_connections_are_kept(line: str) -> None:
    assert line in render_one("upstream.conf.j2")


def test_the_balancer_is_told_the_guides_values() -> None:
    assert "balancer.max_fails, balancer.fail_timeout = 3, 30" in render_one("upstream.conf.j2")


def test_nginx_gets_one_file_with_the_upstream_and_the_site() -> None:
    whole = render_one("nginx.conf.j2")
    assert render_one("upstream.conf.j2").rstrip() in whole
    assert render_one("site.conf.j2").rstrip() in whole
    assert whole.count("{") == whole.count("}")


def test_only_publishing_is_sent_twice() -> None:
    locations = dict(re.findall(r"location =? ?(\S+) \{(.*?)\n        \}", render_one("site.conf.j2"), re.DOTALL))
    twice = {path for path, body in locations.items() if "non_idempotent" in body}
    assert twice == {"/v1/events", "/v1/events/batch"}


def test_a_database_that_is_away_counts_against_no_instance() -> None:
    assert not any("http_503" in conditions for conditions in directives("proxy_next_upstream"))


def test_an_instance_that_fails_at_publishing_is_left_out() -> None:
    assert directives("proxy_next_upstream").count("error timeout http_500 http_502 http_504 non_idempotent") == 2


def test_a_request_that_nobody_can_answer_counts_against_few() -> None:
    assert directives("proxy_next_upstream_tries") == ["3"]


def test_the_request_id_of_the_load_balancer_is_always_its_own() -> None:
    site = render_one("site.conf.j2")
    assert "proxy_set_header X-Amebo-Load-Balancer-Request-Id $request_id;" in site
    assert "$http_x_amebo" not in render_one("nginx.conf.j2").lower()


def test_no_location_drops_the_headers_of_the_server() -> None:
    """Nginx inherits proxy_set_header only where a location sets none."""
    inside = re.findall(r"location [^{]*\{(.*?)\n        \}", render_one("site.conf.j2"), re.DOTALL)
    assert inside
    assert not any("proxy_set_header" in body for body in inside)


def test_health_is_asked_with_little_patience() -> None:
    health = re.search(r"location /health \{(.*?)\}", render_one("site.conf.j2"), re.DOTALL)
    assert health is not None
    assert re.findall(r"proxy_(\w+)_timeout 5s;", health[1]) == ["connect", "read", "send"]


def test_postgresql_takes_each_setting_and_quotes_it() -> None:
    text = render_one("amebo.conf.j2", postgresql_settings={"max_connections": 500, "log_line_prefix": "it's %m "})
    assert "max_connections = '500'" in text
    assert "log_line_prefix = 'it''s %m '" in text


def test_postgresql_lets_in_whom_it_is_told_and_only_by_scram() -> None:
    clients = ["192.0.2.21", "198.51.100.0/24", "2001:db8::1", "app-1.example.org"]
    lines = [line.split() for line in render_one("pg_hba.conf.j2", postgresql_clients=clients).splitlines()]
    hosts = [line for line in lines if line and line[0] == "host"]
    named = ["192.0.2.21/32", "198.51.100.0/24", "2001:db8::1/128", "app-1.example.org"]
    assert [line[3] for line in hosts] == ["127.0.0.1/32", "::1/128", *named]
    assert {line[4] for line in hosts} == {"scram-sha-256"}
    assert ["local", "all", "postgres", "peer"] in lines


def test_a_login_holds_any_character() -> None:
    dsn = settings(render_one("service.env.j2"))["AMEBO_DSN"]
    assert dsn == '"postgresql://amebo_service:a%2Fb%3Ac%40d@192.0.2.5:5432/amebo"'


@pytest.mark.parametrize(
    ("host", "database"),
    [
        ("db.example", "db.example:5432/amebo"),
        ("[2001:db8::5]", "[2001:db8::5]:5432/amebo"),
        ("192.0.2.5:6432", "192.0.2.5:6432/amebo"),
        ("192.0.2.5, 192.0.2.6:5433", "192.0.2.5:5432,192.0.2.6:5433/amebo?target_session_attrs=read-write"),
    ],
)
def test_of_several_servers_it_is_the_one_that_may_be_written_to(host: str, database: str) -> None:
    for name in ("service.env.j2", "owner.env.j2"):
        dsn = settings(render_one(name, amebo_database_host=host))["AMEBO_DSN"].strip('"')
        assert dsn.rpartition("@")[2] == database
        assert is_well_formed(dsn)


def test_migrations_know_the_roles_that_they_grant_to() -> None:
    known = settings(render_one("owner.env.j2", amebo_database_service="worker", amebo_database_reader="looker"))
    assert (known["AMEBO_SERVICE_ROLE"], known["AMEBO_READER_ROLE"]) == ('"worker"', '"looker"')


def test_a_secret_is_quoted_for_systemd() -> None:
    assert settings(render_one("service.env.j2"))["AMEBO_SECRET"] == r'"with \"quotes\", \\ and \$dollars"'


def test_further_settings_reach_the_service() -> None:
    assert settings(render_one("service.env.j2", amebo_settings={"envelope": 64}))["AMEBO_ENVELOPE"] == '"64"'


@pytest.mark.parametrize("slot", ["a", "b"])
def test_both_slots_share_a_socket_and_nothing_else(slot: str) -> None:
    unit = render_one("amebo-web@.service.j2", __amebo_slot=slot)
    assert "Sockets=amebo-web@%i.socket" in unit
    assert f"WorkingDirectory=/opt/amebo/slots/web-%i-{slot}" in unit
    assert f"AMEBO_STATUS_SOCKET=/run/amebo/web-%i-{slot}.sock" in unit


def test_a_process_may_drain_before_it_is_killed() -> None:
    assert settings(render_one("amebo-web@.service.j2", amebo_drain_timeout_seconds=45))["TimeoutStopSec"] == "50"


@pytest.mark.parametrize(
    ("given", "line"),
    [("80%", "CPUQuota=80%"), ("", "CPUQuota=")],
)
def test_no_limit_takes_an_earlier_one_back(given: str, line: str) -> None:
    text = render_one("limits.conf.j2", amebo_cpu_quota=given)
    assert line in text.splitlines()
    assert "MemoryMax=infinity" in text
