"""Playbooks as command lines, and Ansible's events read back."""

import json

from fleet.effects import ansible
from fleet.effects.ansible import Play


def test_builds_a_command_line_with_typed_variables() -> None:
    play = Play("replace", {"amebo_version": "1.10", "amebo_replace": {"app-1": [3310]}}, ("app-1", "app-2"))
    program, *words = ansible.argv(play)
    assert program.endswith("/ansible-playbook")
    assert words[:3] == ["playbooks/replace.yml", "--limit", "app-1,app-2"]
    assert json.loads(words[-1]) == {"amebo_version": "1.10", "amebo_replace": {"app-1": [3310]}}


def test_an_unlimited_play_names_no_host() -> None:
    assert "--limit" not in ansible.argv(Play("migrate", {}))


def test_a_check_changes_nothing_and_asks_for_diffs() -> None:
    words = ansible.argv(Play("site", {}, check=True))
    assert words[-2:] == ["--check", "--diff"]
    assert "--check" not in ansible.argv(Play("site", {}))


def test_keeps_what_tells_of_a_change_and_nothing_else() -> None:
    events = [
        {"_event": "v2_runner_on_ok", "task": {"name": "write"}, "hosts": {"app-1": {"changed": True, "diff": []}}},
        {"_event": "v2_runner_on_ok", "task": {"name": "look"}, "hosts": {"app-1": {"changed": False, "diff": []}}},
        {"_event": "v2_runner_on_skipped", "task": {"name": "skip"}, "hosts": {"app-1": {"skipped": True}}},
    ]
    lines = (json.dumps(event) + "\n" for event in events)
    result = ansible._follow(lines, lambda: 0, lambda _: None, lambda _: None)
    assert result.changes == (events[0],)


def test_names_tasks_as_they_start_whatever_the_strategy_and_keeps_failures() -> None:
    events = [
        {"_event": "v2_playbook_on_play_start", "play": {"name": "Replace"}},
        {"_event": "v2_playbook_on_task_start", "task": {"name": "look"}, "hosts": {}},
        {"_event": "v2_runner_on_start", "task": {"name": "swap"}, "hosts": {}},
        {"_event": "v2_runner_on_failed", "task": {"name": "swap"}, "hosts": {"app-1": {"msg": "not ready"}}},
        {"_event": "v2_playbook_on_stats", "stats": {"app-1": {"changed": 2}}},
    ]
    lines = iter(["[WARNING]: no matter\n", *(json.dumps(event) + "\n" for event in events)])
    tasks: list[str] = []
    plays: list[str] = []
    result = ansible._follow(lines, lambda: 2, tasks.append, plays.append)
    assert (plays, tasks) == (["Replace"], ["look", "swap"])
    assert result.failures == (ansible.Failure("app-1", "swap", "not ready"),)
    assert (result.ok, result.changed, result.output) == (False, {"app-1": 2}, "[WARNING]: no matter\n")


def test_finds_the_last_complaint() -> None:
    text = "[WARNING]: no matter\n\x1b[0;31m[ERROR]: Decryption failed\x1b[0m\n"
    assert ansible.last_error(text) == "Decryption failed"
    assert ansible.last_error("") == "no message"
