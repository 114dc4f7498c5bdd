"""docs/performance.md shows what bench/results hold, and nothing else."""

from bench import page


def test_the_page_shows_what_was_measured_last() -> None:
    text = page.PAGE.read_text()
    assert page.written(text, page.saved()) == text
