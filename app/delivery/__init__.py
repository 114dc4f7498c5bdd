"""How gists reach their handlers."""
