"""The load balancer as its clients find it, without an instance behind it."""

import json

from testinfra.host import Host


def curl(host: Host, words: str) -> str:
    return str(host.check_output(f"curl --silent --max-time 10 {words}"))


def test_it_is_running_and_starts_at_boot(host: Host) -> None:
    assert host.service("nginx").is_running
    assert host.service("nginx").is_enabled
    assert host.socket("tcp://0.0.0.0:80").is_listening


def test_nginx_accepts_its_configuration(host: Host) -> None:
    assert host.run("nginx -t").succeeded


def test_without_an_instance_it_says_so_as_the_service_would(host: Host) -> None:
    answer = json.loads(curl(host, "-H 'X-Request-ID: mine-1' http://127.0.0.1/v1/events"))
    assert answer == {"error": "no instance answered", "code": 503, "details": [], "request_id": "mine-1"}


def test_a_body_over_the_limit_is_refused_as_the_service_would(host: Host) -> None:
    post = "head -c 1100000 /dev/zero | curl --silent --data-binary @- -w '%{http_code}' http://127.0.0.1/v1/events"
    assert host.check_output(post).endswith("413")


def test_a_batch_may_be_larger(host: Host) -> None:
    post = (
        "head -c 1100000 /dev/zero | curl --silent --data-binary @- -w '%{http_code}' http://127.0.0.1/v1/events/batch"
    )
    assert host.check_output(post).endswith("503")


def test_the_log_says_which_instances_were_asked(host: Host) -> None:
    curl(host, "-H 'X-Request-ID: mine-2' 'http://127.0.0.1/v1/events?quoted=%22'")
    line = json.loads(host.check_output("grep mine-2 /var/log/nginx/access.log | tail -n 1"))
    assert line["status"] == 503
    assert "127.0.0.1:3310" in line["upstream"] or line["upstream"] == "amebo"
    assert len(line["load_balancer_request_id"]) == 32
