"""What can be found in the facts of a fleet, a module a subject; all of it pure."""
