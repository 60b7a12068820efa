import mmap
import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from retouch.domain.edit import Edit
from retouch.domain.errors import EngineFailed, OutOfMemory
from retouch.engine.families import WeightsError, flux, load_family
from retouch.engine.families.device import (
    DeviceMemory,
    beside,
    choose,
    finish,
    guarded,
    main_memory_bytes,
)
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint


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


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_device_that_is_full_costs_one_request(error: Exception) -> None:
    with pytest.raises(OutOfMemory, match="device's memory"), guarded():
        raise error


def test_a_device_that_is_lost_is_no_failure_of_one_request() -> None:
    lost = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(torch.AcceleratorError), guarded():
        raise lost


def test_any_other_failure_of_the_model_is_an_engine_failure() -> None:
    with pytest.raises(EngineFailed, match="shapes") as caught, guarded():
        torch.ones(2, 3) @ torch.ones(2, 3)

    assert not isinstance(caught.value, OutOfMemory)


def test_a_device_that_works_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    class Stream:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def synchronize(self) -> None:
            waited.append(str(self.device))

    monkeypatch.setattr(torch.cuda, "default_stream", Stream)

    for name in ("cpu", "cuda:1"):
        finish(torch.device(name))

    assert waited == ["cuda:1"]


@pytest.mark.parametrize("kind", ["flux1", "flux2"])
def test_opening_and_stepping_return_when_the_device_is_done(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {"name": "tiny", "max_sequence_length": 24, "area": 64 * 64, "steps": 2}
    write = write_checkpoint if kind == "flux1" else write_flux2_checkpoint
    family = load_family(write(tmp_path, recipe=recipe))
    stands = []
    monkeypatch.setattr(flux, "finish", lambda device: stands.append(str(device)))
    edit = Edit(prompt="red", seed=1)

    session = family.open(family.plan(edit, [], 1), edit, [])
    assert stands == ["cpu"]
    family.step([session])
    assert stands == ["cpu"] * 2


def test_a_thread_beside_has_one_stream_and_ends_with_its_work_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, said = [], []

    class Stream:
        def __init__(self, device: torch.device) -> None:
            made.append(device)

        def wait_stream(self, other: object) -> None:
            said.append(("waits for", other))

        def synchronize(self) -> None:
            said.append(("is done", self))

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: "steps")
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    device = torch.device("cuda:7")

    def work() -> None:
        for _ in range(3):
            with beside(device):
                said.append("works")

    work()
    assert len(made) == 1
    assert [each if isinstance(each, str) else each[0] for each in said] == [
        "waits for",
        "works",
        "is done",
    ] * 3
    assert said[0][1] == "steps"
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()
    assert made == [device] * 2


def test_main_memory_is_what_the_machine_has_within_the_containers_limit(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000 kB\nMemAvailable:    5000 kB\n")

    assert main_memory_bytes(meminfo, tmp_path) == 5000 * 1024

    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert main_memory_bytes(meminfo, tmp_path) == 2_000_000

    (tmp_path / "memory.max").write_text("max\n")
    assert main_memory_bytes(meminfo, tmp_path) == 5000 * 1024
    assert main_memory_bytes(tmp_path / "nowhere", tmp_path) is None


def test_a_devices_memory_can_be_told_and_trimmed() -> None:
    memory = DeviceMemory("cpu")

    memory.trim()

    assert (memory.free_bytes() or 0) > 0


def test_a_cuda_device_has_what_is_free_and_what_torch_only_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda it: asked.append(it) or (5_000, 24_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda it: asked.append(it) or 3_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda it: asked.append(it) or 2_000)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: asked.append("emptied"))
    memory = DeviceMemory("cuda:1")

    assert memory.free_bytes() == 6_000
    memory.trim()

    assert asked == [torch.device("cuda:1")] * 3 + ["emptied"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is trimmed")
def test_what_lies_free_between_what_stays_is_given_back() -> None:
    held = [b"x" * 60_000 for _ in range(512)]
    kept = held[::16]
    del held
    before = resident_bytes()

    DeviceMemory("cpu").trim_heap()

    assert len(kept) == 32
    assert before - resident_bytes() > 10_000_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
