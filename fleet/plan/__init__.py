"""Decisions as values: observed state and policy in, Steps out. No input, no output, no clock."""
