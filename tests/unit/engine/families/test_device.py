import pytest
import torch

from retouch.domain.errors import EngineFailed, OutOfMemory
from retouch.engine.families import WeightsError
from retouch.engine.families.device import choose, guarded


def test_what_the_operator_names_is_taken() -> None:
    assert choose("cuda:1", "float16") == ("cuda:1", "float16")


@pytest.mark.parametrize(
    ("has_cuda", "expected"), [(True, ("cuda", "bfloat16")), (False, ("cpu", "float32"))]
)
def test_auto_takes_the_best_there_is(
    has_cuda: bool, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    assert choose("auto", "auto") == expected


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="'int3'; known: auto, float32"):
        choose("cpu", "int3")


def test_main_memory_that_runs_out_is_told_from_other_failures() -> None:
    with pytest.raises(OutOfMemory), guarded():
        torch.empty(10**15)


def test_any_other_failure_of_the_model_is_an_engine_failure() -> None:
    with pytest.raises(EngineFailed, match="shapes") as caught, guarded():
        torch.ones(2, 3) @ torch.ones(2, 3)

    assert not isinstance(caught.value, OutOfMemory)
