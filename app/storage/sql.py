"""The SQL of storage/queries/, by file name: one statement each, its purpose in the first line."""

from pathlib import Path

QUERIES = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "queries").glob("*.sql"))}
