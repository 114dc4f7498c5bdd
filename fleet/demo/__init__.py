"""The demo: real traffic through the lab's fleet while it is changed, and an honest count of what happened to it."""
