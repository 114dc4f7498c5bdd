"""A decision that some file names can be found."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_decision_that_is_named_exists() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]
    named = {
        (str(file.relative_to(ROOT)), name)
        for file in files
        for name in re.findall(r"decisions/(\d{3}-[\w-]+\.md)", file.read_text(errors="replace"))
    }
    assert named
    assert [where for where in sorted(named) if not (ROOT / "docs/decisions" / where[1]).is_file()] == []
