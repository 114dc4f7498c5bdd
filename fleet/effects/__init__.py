"""One module for each outside thing; nothing else in fleet touches the world."""
