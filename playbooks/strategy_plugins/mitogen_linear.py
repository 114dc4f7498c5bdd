"""Find mitogen wherever Ansible is installed, so that ansible.cfg names no Python version and no site-packages."""

from ansible_mitogen.plugins.strategy.mitogen_linear import StrategyModule

__all__ = ["StrategyModule"]
