"""The verbs of ops.py that are more than a few lines, a module a noun."""
