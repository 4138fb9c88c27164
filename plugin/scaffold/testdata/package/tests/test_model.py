import pytest

from sentiment.model import Perceptron


@pytest.mark.parametrize("label", [1, -1])
def test_learns(label):
    model = Perceptron()
    assert model.learn("fine", label)
    assert not model.learn("fine", label)
