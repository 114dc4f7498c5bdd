"""The operator's library behind ops.py: observe the fleet, plan a change as a value, perform it step by step."""
