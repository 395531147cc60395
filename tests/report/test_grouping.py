import pytest

from speaker_id.report.grouping import groups_of, in_order, range_name


def test_ages_fall_into_ranges_that_do_not_overlap() -> None:
    ages = {"a": "6", "b": "12", "c": "13", "d": "29", "e": "30", "f": "60", "g": "91"}
    assert groups_of("Age", ages) == {
        "a": "under 13 years", "b": "under 13 years", "c": "13 to 17 years", "d": "18 to 29 years",
        "e": "30 to 44 years", "f": "60 years or more", "g": "60 years or more",
    }  # fmt: skip


def test_letters_for_gender_are_written_out_and_other_words_kept() -> None:
    values = {"a": "F", "b": "m", "c": "female", "d": "non-binary", "e": "unknown", "f": ""}
    assert groups_of("gender", values) == {"a": "female", "b": "male", "c": "female", "d": "non-binary"}


@pytest.mark.parametrize("value", ["", "?", "N/A", "unknown", "-"])
def test_who_is_unknown_belongs_to_no_group(value: str) -> None:
    assert groups_of("language", {"a": value, "b": "Thai"}) == {"b": "Thai"}


def test_numbers_of_many_values_become_quarters_and_few_values_stay() -> None:
    many = groups_of("height", {f"s{number}": str(150 + number) for number in range(40)})
    sizes = [list(many.values()).count(name) for name in sorted(set(many.values()), key=in_order)]
    assert sizes == pytest.approx([10, 10, 10, 10], abs=1)  # edges are rounded
    assert groups_of("session", {"a": "1", "b": "2"}) == {"a": "1", "b": "2"}


def test_an_age_that_is_no_number_leaves_the_column_as_it_is() -> None:
    assert groups_of("age", {"a": "child", "b": "30"}) == {"a": "child", "b": "30"}


def test_ranges_say_where_they_begin_and_end_and_sort_by_it() -> None:
    edges = (0, 1, 2.5, 10)
    names = [range_name(edges, code, unit=" s") for code in range(4)]
    assert names == ["under 1 s", "1 to 2.5 s", "2.5 to 10 s", "10 s or more"]
    assert [in_order(name) for name in names] == sorted(map(in_order, names))
    assert sorted(["b", "13 to 17", "a", "under 13"], key=in_order) == ["under 13", "13 to 17", "a", "b"]
