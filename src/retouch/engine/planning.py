"""Planning: the memory and the steps of a job, before anything is allocated for it."""

from collections.abc import Callable
from dataclasses import replace

from retouch.domain.edit import MAX_SEED, Size
from retouch.domain.errors import OutOfMemory
from retouch.engine.memory import remedy
from retouch.ports import Family, Job, Plan


def plans_of(
    job: Job, family: Family, memory_bytes: int | None, draw_seed: Callable[[], int]
) -> tuple[Plan, ...]:
    """A plan for each picture of a job: seeds count up from the edit's.

    Where only its mode keeps it from fitting, it is served exact. Raises InvalidEdit, and
    OutOfMemory when it does not fit into so much memory; None is boundless.
    """
    first = draw_seed() if job.edit.seed is None else job.edit.seed
    sizes = [Size(image.width, image.height) for image in job.images]
    seeds = [(first + number) % (MAX_SEED + 1) for number in range(job.edit.count)]
    plans = [family.plan(job.edit, sizes, seed) for seed in seeds]
    if not _fits(plans[0], memory_bytes) and plans[0].mode != "exact":
        exact, notes = replace(job.edit, mode="exact"), (f"no memory for {plans[0].mode} mode",)
        plans = [family.plan(exact, sizes, seed) for seed in seeds]
        plans = [replace(plan, notes=notes) for plan in plans]
    if not _fits(plans[0], memory_bytes):
        raise OutOfMemory(remedy(plans[0], memory_bytes))
    return tuple(plans)


def _fits(plan: Plan, memory_bytes: int | None) -> bool:
    return memory_bytes is None or plan.held_bytes + plan.peak_bytes <= memory_bytes
