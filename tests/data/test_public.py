"""What `arn.data` offers by name loads from where it lives."""

import pytest

import arn.data


@pytest.mark.parametrize("name", arn.data.__all__)
def test_every_name_loads(name):
    assert getattr(arn.data, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        arn.data.nothing  # noqa: B018
