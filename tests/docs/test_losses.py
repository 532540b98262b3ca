"""README and docs/losses.md speak of the same losses."""

from tests.docs.pages import rows


def test_each_loss_of_the_readme_has_its_reason_and_no_other_is_told() -> None:
    told, reasoned = rows("README.md", "when"), rows("docs/losses.md", "when")
    assert [row[0] for row in told] == [row[0] for row in reasoned]
    assert all(all(row) for row in [*told, *reasoned])
