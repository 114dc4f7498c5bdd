"""What is said on a machine that cannot have a lab."""

from fleet.lab import preflight


def test_says_what_is_needed_and_what_works_without() -> None:
    for refusal in (
        preflight.refusal_for("darwin", 0, has_dpkg=False),
        preflight.refusal_for("linux", 0, has_dpkg=False),
        preflight.refusal_for("linux", 1000, has_dpkg=True),
    ):
        assert refusal
        assert "needs" in refusal
        assert "python -m app dev" in refusal


def test_root_on_debian_may_go_on() -> None:
    assert preflight.refusal_for("linux", 0, has_dpkg=True) is None


def test_names_the_packages_that_are_not_installed() -> None:
    installed = "installed iproute2\nconfig-files nginx\nnot-installed mmdebstrap\n"
    assert preflight.missing_packages(["iproute2", "nginx", "mmdebstrap"], installed) == ["nginx", "mmdebstrap"]


def test_the_list_is_a_package_a_line_with_comments() -> None:
    assert preflight.needed("# why\niproute2\n\nnginx  # the mirror\n") == ["iproute2", "nginx"]
