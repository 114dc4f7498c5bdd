"""What is printed depends on a terminal's size only where a test says so."""

import os

# readline, in a parent process such as pytest-xdist's, leaves them in the environment; Rich takes them for its own.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
