"""Which pictures step next: values and decisions, no tensors, no clock, no I/O.

A job is an `Entry`, each of its unfinished pictures a `Turn`. `tick` decides one iteration: what to
open and who shares the next forward pass. A turn that is open and not chosen is paused, at the
price of the memory it holds. The engine owns what the turns stand for.

The shortest work goes first until a job is overdue, which is `patience` times its work after it
arrived. Then the one due first does, but for `yields` passes in a row that it leaves to shorter
work: small edits keep flowing beside a large one, and nobody starves. `docs/scheduling.md` derives
the bound.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One unfinished picture of a job, as the scheduler sees it."""

    job: str
    number: int  # in the job
    tokens: int  # in a forward pass
    cost: float  # work of one step, in the family's unit
    left: int  # steps
    held_bytes: int = 0  # kept between steps once open
    peak_bytes: int = 0  # taken on top while it steps or is decoded
    is_open: bool = False
    is_alone: bool = False  # it ran out of memory in company: opened when nothing else is

    @property
    def key(self) -> tuple[str, int]:
        """What names it while its numbers change."""
        return self.job, self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job in the engine. Times are seconds on the engine's clock."""

    id: str
    turns: tuple[Turn, ...]  # the unfinished ones, by number
    arrived_at: float = 0.0
    owner: str = ""
    priority: int = 0  # higher is due sooner
    deadline: float | None = None

    @property
    def left(self) -> float:
        """Work left, in the family's unit."""
        return sum(turn.cost * turn.left for turn in self.turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a decision depends on besides the jobs."""

    token_budget: int = 16_384  # of one forward pass
    patience: float = 2.0  # times its own work a job may be passed by shorter ones
    yields: int = 2  # passes in a row that an overdue job leaves to shorter ones
    priority_s: float = 60.0  # how much sooner one step of priority makes a job due
    memory_bytes: int | None = None  # for all sessions together; None is no limit


@dataclass(frozen=True, slots=True)
class Tick:
    """One iteration: the turn to open first, if any, and those of the forward pass."""

    opens: Turn | None = None
    steps: tuple[Turn, ...] = ()
    yielded: int = 0  # passes in a row, with this one, that an overdue job gave way


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every job that is not over, in order of arrival."""

    entries: tuple[Entry, ...] = ()
    yielded: int = 0  # of the tick before

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every unfinished picture."""
        return tuple(turn for entry in self.entries for turn in entry.turns)

    def add(self, entry: Entry) -> "Schedule":
        """With one more job; raises ValueError when it is already here."""
        if any(entry.id == other.id for other in self.entries):
            raise ValueError(f"job {entry.id!r} is already in the engine")
        return replace(self, entries=(*self.entries, entry))

    def drop(self, id: str) -> "Schedule":
        """Without a job. An unknown one changes nothing."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.id != id))

    def put(self, turns: Iterable[Turn]) -> "Schedule":
        """With these turns in place of those of the same key; one without steps left is done."""
        new = {turn.key: turn for turn in turns}
        entries = (
            replace(entry, turns=tuple(new.get(turn.key, turn) for turn in entry.turns))
            for entry in self.entries
        )
        return replace(self, entries=tuple(entries))

    def finish(self, turn: Turn) -> "Schedule":
        """Without a turn; its job stays until it is dropped."""
        entries = (
            replace(entry, turns=tuple(other for other in entry.turns if other.key != turn.key))
            for entry in self.entries
        )
        return replace(self, entries=tuple(entries))


def tick(schedule: Schedule, policy: Policy, *, now: float, pace_s: float) -> Tick:
    """The next iteration: in order, every turn that still fits budget and memory.

    `pace_s` is how long a unit of work takes. The first turn always steps, even when it alone is
    over the budget. No other joins whose step is more work than those before it together: small
    edits do not wait for a large one's pass, though it may take them along. At most one is opened;
    once one in order waits for memory, none behind it is opened, so that what is freed goes to it.
    """
    entries, yielded = _in_turn(schedule, policy, now=now, pace_s=pace_s)
    turns = [turn for entry in entries for turn in entry.turns]
    tokens, memory = policy.token_budget, _unheld(turns, policy)
    opens, may_open = None, True
    steps: list[Turn] = []
    for turn in turns:
        if steps and (turn.tokens > tokens or turn.cost > sum(it.cost for it in steps)):
            continue
        if turn.is_open:
            if steps and turn.peak_bytes > memory:
                continue
        elif may_open:
            may_open = False
            if turn.held_bytes + turn.peak_bytes > memory or not _may_join(turn, turns, policy):
                continue
            opens = turn
            memory -= turn.held_bytes
        else:
            continue
        steps.append(turn)
        tokens -= turn.tokens
        memory -= turn.peak_bytes
    return Tick(opens, tuple(steps), yielded)


def _in_turn(
    schedule: Schedule, policy: Policy, *, now: float, pace_s: float
) -> tuple[list[Entry], int]:
    """The jobs, who goes first first, and for how many passes now one that is overdue gave way."""
    ranked = order(schedule.entries, policy, now=now, pace_s=pace_s)
    entries = [entry for _, entry in ranked]
    if not ranked:
        return entries, 0
    is_overdue, first = ranked[0][0] <= now, entries[0]
    # One that is not open yet would lose its memory to others, one with a deadline that.
    may_yield = first.deadline is None and all(turn.is_open for turn in first.turns)
    if is_overdue and not (may_yield and schedule.yielded < policy.yields):
        return entries, 0
    shortest = shortest_first(entries, first.priority)
    gave_way = is_overdue and shortest[0] is not first
    return shortest, schedule.yielded + 1 if gave_way else 0


def order(
    entries: Sequence[Entry], policy: Policy, *, now: float, pace_s: float
) -> list[tuple[float, Entry]]:
    """When each job is due, soonest first.

    Per owner, work adds up: the second of an owner's jobs is due as if the first were a part of
    it, so an owner with many jobs gets no more than one with few.
    """

    def due_at(entry: Entry) -> tuple[float, float, str]:
        return due(entry, policy, now=now, pace_s=pace_s), entry.arrived_at, entry.id

    ranked = [
        (due_at(entry)[0] + policy.patience * pace_s * ahead, entry)
        for ahead, entry in _per_owner(entries, due_at)
    ]
    return sorted(ranked, key=lambda rank: (rank[0], rank[1].arrived_at, rank[1].id))


def shortest_first(entries: Sequence[Entry], priority: int) -> list[Entry]:
    """The least work left first, adding up per owner; who has less priority comes last."""
    ranked = [
        (entry.priority < priority, ahead + entry.left, entry.arrived_at, entry.id, entry)
        for ahead, entry in _per_owner(entries, lambda entry: (entry.left, entry.arrived_at))
    ]
    return [entry for *_, entry in sorted(ranked, key=lambda rank: rank[:-1])]


def _per_owner(
    entries: Sequence[Entry], key: Callable[[Entry], tuple[float | str, ...]]
) -> Iterator[tuple[float, Entry]]:
    """Each job with the work of its owner's jobs before it, in the order of a key."""
    by_owner = sorted(entries, key=lambda entry: entry.owner)
    for _, owned in groupby(by_owner, key=lambda entry: entry.owner):
        ahead = 0.0
        for entry in sorted(owned, key=key):
            yield ahead, entry
            ahead += entry.left


def due(entry: Entry, policy: Policy, *, now: float, pace_s: float) -> float:
    """When a job is due: never before its arrival, but for the credit of its priority.

    A deadline that can still be kept makes it due when its work must begin.
    """
    left_s = entry.left * pace_s
    at = entry.arrived_at + policy.patience * left_s
    if entry.deadline is not None and now + left_s <= entry.deadline:
        at = min(at, entry.deadline - left_s)
    return at - policy.priority_s * entry.priority


def _unheld(turns: Sequence[Turn], policy: Policy) -> float:
    if policy.memory_bytes is None:
        return float("inf")
    return policy.memory_bytes - sum(turn.held_bytes for turn in turns if turn.is_open)


def _may_join(turn: Turn, turns: Sequence[Turn], policy: Policy) -> bool:
    """Whether it may be opened beside those that are open, each of which must still fit a pass."""
    others = [other for other in turns if other.is_open]
    if others and (turn.is_alone or any(other.is_alone for other in others)):
        return False
    peak_bytes = max(other.peak_bytes for other in (turn, *others))
    return turn.held_bytes + peak_bytes <= _unheld(turns, policy)
