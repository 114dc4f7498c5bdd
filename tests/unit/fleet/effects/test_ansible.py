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


def test_finds_the_last_complaint() -> None:
    text = "[WARNING]: no matter\n\x1b[0;31m[ERROR]: Decryption failed\x1b[0m\n"
    assert ansible.last_error(text) == "Decryption failed"
    assert ansible.last_error("") == "no message"
