"""Ansible's check-mode events as a diff; the shapes are those of ansible-core 2.19, as site.yml gave them on a lab."""

from typing import Any

import pytest

from fleet.plan import drift
from fleet.plan.drift import CENSORED, Change

SECRET = "hunter2"  # what must never be shown
LIMITS = {
    "before": "[Service]\nCPUQuota=\nMemoryMax=infinity\n",
    "before_header": "/etc/systemd/system/amebo-web-a@.service.d/limits.conf",
    "after": "[Service]\nCPUQuota=\nMemoryMax=300M\n",
    "after_header": "/root/.ansible/tmp/ansible-local-1/tmp2/limits.conf.j2",
}
LIMITS_PATH = LIMITS["before_header"]
LIMITS_DIFF = "@@ -1,3 +1,3 @@\n [Service]\n CPUQuota=\n-MemoryMax=infinity\n+MemoryMax=300M"
SAME_FILE = {"before": {"path": "/etc/nginx/nginx.conf"}, "after": {"path": "/etc/nginx/nginx.conf"}}


def event(result: dict[str, Any], host: str = "app-1", task: str = "write") -> dict[str, Any]:
    return {"_event": "v2_runner_on_ok", "task": {"name": task}, "hosts": {host: result}}


def changed(**more: Any) -> dict[str, Any]:
    return {"changed": True, "_ansible_no_log": False, **more}


RESULTS: dict[str, tuple[dict[str, Any], tuple[Change, ...]]] = {
    "nothing changed": ({"changed": False, "diff": SAME_FILE}, ()),
    "a template, called by its path on the host": (
        changed(diff=[LIMITS]),
        (Change("app-1", "write", LIMITS_PATH, LIMITS_DIFF),),
    ),
    "a file that is not there yet": (
        changed(diff=[{"before": "", "before_header": "/etc/new", "after": "one\ntwo\n"}]),
        (Change("app-1", "write", "/etc/new", "@@ -0,0 +1,2 @@\n+one\n+two"),),
    ),
    "no more than the end of a line": (
        changed(diff=[{"before": "one", "before_header": "/etc/new", "after": "one\n"}]),
        (Change("app-1", "write", "/etc/new", "only in how its lines end"),),
    ),
    "a directory": (
        changed(
            diff={"before": {"path": "/opt/x", "state": "absent"}, "after": {"path": "/opt/x", "state": "directory"}}
        ),
        (Change("app-1", "write", "/opt/x", "state: absent → directory"),),
    ),
    "a mode": (
        changed(diff={"before": {"path": "/opt/x", "mode": "0600"}, "after": {"path": "/opt/x", "mode": "0644"}}),
        (Change("app-1", "write", "/opt/x", "mode: 0600 → 0644"),),
    ),
    "a file with two diffs, of which its content is one": (
        changed(diff=[LIMITS, {"before": {"path": LIMITS_PATH}, "after": {"path": LIMITS_PATH}}]),
        (Change("app-1", "write", LIMITS_PATH, LIMITS_DIFF),),
    ),
    "a diff that a module made": (
        changed(diff={"prepared": "+ package\n"}),
        (Change("app-1", "write", "", "+ package"),),
    ),
    "a binary file": (
        changed(diff=[{"dst_binary": 1, "before_header": "/usr/bin/x"}]),
        (Change("app-1", "write", "/usr/bin/x", "what is there is binary"),),
    ),
    "a directory that is copied, without a diff": (
        changed(dest="/etc/nginx/lua/", src="/here/lua/"),
        (Change("app-1", "write", "/etc/nginx/lua/"),),
    ),
    "a task that only says what would happen": (
        changed(msg="app-1:3310 would be handed over to 1.2.0"),
        (Change("app-1", "write", "", "app-1:3310 would be handed over to 1.2.0"),),
    ),
    "a restarted service": (
        changed(name="nginx.service", status={"ActiveState": "active"}),
        (Change("app-1", "write"),),
    ),
    "the items of a loop that changed": (
        changed(
            results=[
                changed(_ansible_item_label="web-a", item="web-a", diff=[LIMITS]),
                {"changed": False, "_ansible_item_label": "web-b", "diff": SAME_FILE},
                changed(_ansible_item_label="web-c"),
                changed(_ansible_item_label={"name": "web-d"}),
            ]
        ),
        (
            Change("app-1", "write", LIMITS_PATH, LIMITS_DIFF),
            Change("app-1", "write", "web-c"),
            Change("app-1", "write"),
        ),
    ),
    "what is delegated, where it happens": (
        changed(_ansible_delegated_vars={"ansible_host": "localhost"}, diff=[LIMITS]),
        (Change("localhost", "write", LIMITS_PATH, LIMITS_DIFF),),
    ),
    "a secret, which Ansible has censored": (
        {"changed": True, "_ansible_no_log": True, "censored": "the output has been hidden"},
        (Change("app-1", "write", is_censored=True),),
    ),
    "a secret that something let through": (
        changed(
            _ansible_no_log=True, msg=SECRET, diff=[{"before": "", "after": SECRET}], results=[changed(msg=SECRET)]
        ),
        (Change("app-1", "write", is_censored=True),),
    ),
    "a secret in one item": (
        changed(results=[{"changed": True, "_ansible_no_log": True, "item": SECRET, "_ansible_item_label": SECRET}]),
        (Change("app-1", "write", is_censored=True),),
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_folds_what_a_task_says_into_what_it_would_change(name: str) -> None:
    result, expected = RESULTS[name]
    assert drift.fold([event(result)]) == expected
    assert SECRET not in "\n".join(drift.lines(drift.fold([event(result)])))


def test_is_sorted_by_host_and_keeps_the_order_of_the_tasks() -> None:
    events = [
        event(changed(msg="first"), "lb-1", "z"),
        event(changed(msg="second"), "app-1", "y"),
        event(changed(msg="third"), "lb-1", "a"),
    ]
    assert [(c.host, c.task) for c in drift.fold(events)] == [("app-1", "y"), ("lb-1", "z"), ("lb-1", "a")]


def test_shows_a_long_diff_once_and_then_on_which_host_it_was() -> None:
    limits = changed(diff=[LIMITS])
    short = changed(msg="would be restarted")
    secret = {"changed": True, "_ansible_no_log": True}
    events = [event(r, host, t) for host in ("app-1", "app-2") for t, r in (("l", limits), ("s", short), ("c", secret))]
    assert drift.lines(drift.fold(events)) == [
        "app-1",
        f"  l: {LIMITS_PATH}",
        "      @@ -1,3 +1,3 @@",
        "       [Service]",
        "       CPUQuota=",
        "      -MemoryMax=infinity",
        "      +MemoryMax=300M",
        "  s",
        "      would be restarted",
        "  c",
        f"      {CENSORED}",
        "",
        "app-2",
        f"  l: {LIMITS_PATH}",
        "      as on app-1",
        "  s",
        "      would be restarted",
        "  c",
        f"      {CENSORED}",
    ]


def test_a_diff_that_differs_on_one_host_is_shown_there() -> None:
    other = {**LIMITS, "before": "[Service]\nCPUQuota=\nMemoryMax=200M\n"}
    events = [event(changed(diff=[LIMITS]), "app-1"), event(changed(diff=[other]), "app-2")]
    told = drift.lines(drift.fold(events))
    assert "      -MemoryMax=infinity" in told
    assert "      -MemoryMax=200M" in told


SUMMARIES = {
    0: "Nothing would change.",
    1: "1 thing would change, on 1 host. Nothing was touched.",
    2: "2 things would change, on 2 hosts. Nothing was touched.",
}


@pytest.mark.parametrize("many", SUMMARIES)
def test_counts_in_a_sentence(many: int) -> None:
    assert drift.summary([Change(f"app-{number}", "write") for number in range(many)]) == SUMMARIES[many]


def test_nothing_to_change_has_nothing_to_show() -> None:
    assert drift.lines(()) == []
