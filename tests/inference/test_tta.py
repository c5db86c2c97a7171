"""Flip test-time augmentation: the average over a picture and its mirror image, whatever spells it."""

import pytest
import torch

from arn.errors import ArnError
from arn.inference.tta import with_tta
from arn.networks import ARN


def test_flip_averages_over_the_mirrored_picture():
    torch.manual_seed(0)
    network = ARN(side_outputs=True).eval()
    pictures = torch.rand(2, 3, 64, 97)
    with torch.no_grad():
        found = with_tta(network, "flip")(pictures)
        straight, mirrored = network(pictures), network(pictures.flip(-1))
        for mine, one, other in zip(found, straight, mirrored, strict=True):
            torch.testing.assert_close(mine, (one + other.flip(-1)) / 2, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(found[0], straight[0], rtol=1e-4, atol=1e-4)
        assert with_tta(network, "none") is network
    with pytest.raises(ArnError, match="tta=rotate"):
        with_tta(network, "rotate")
