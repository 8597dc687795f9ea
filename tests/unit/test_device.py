import pytest
import torch

from scenestyle.device import VARIABLE, select_device
from scenestyle.errors import ParamsError


def test_a_gpu_is_taken_if_there_is_one(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert select_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_environment_overrides_and_an_argument_overrides_both(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cpu")
    assert select_device() == torch.device("cpu")
    monkeypatch.setenv(VARIABLE, "nonsense")
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["nonsense", "cuda:99", "meta", "cpu:x"])
def test_nonsense_is_refused(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(ParamsError, match=rf"{VARIABLE}='{name}'"):
        select_device()
