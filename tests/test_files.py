"""Names of files made of names of things."""

from arn.files import slugs


def test_no_two_names_are_one_file():
    names = ["ECSSD", "a b", "a_b", "A B", "x/test", "y/test", "..", "", "日本", "Ω", "a_b_2", "ecssd"]
    made = slugs(names)
    assert list(made) == names
    assert len({name.casefold() for name in made.values()}) == len(names)
    assert made["ECSSD"] == "ECSSD"
    assert made["a b"] == "a_b"
    assert all(name and "/" not in name and not name.startswith(".") for name in made.values())
