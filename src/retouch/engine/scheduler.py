"""Which pictures step next: values and decisions, no tensors, no clock, no I/O.

A job is an `Entry`, each of its unfinished pictures a `Turn`. `tick` decides one iteration: what to
open and who shares the next forward pass. A turn that is open and not chosen is paused, at the
price of the memory it holds. The engine owns what the turns stand for.

Every job is promised a time when it comes; the shortest goes first that makes nobody late.
Time is counted in work done, so promises need no speed of the device and hold on a slow day too.
`docs/scheduling.md` derives what is guaranteed.
"""

from collections.abc import Iterable, Sequence
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

    @property
    def is_closing(self) -> bool:
        """Whether its last step is done and its picture is being decoded."""
        return self.is_open and not self.left


@dataclass(frozen=True, slots=True)
class Basis:
    """What a promise is made from, all in units of work: how things stood when a job came."""

    done: float = 0.0  # by then
    left: float = 0.0  # of all jobs, this one included
    owned: float = 0.0  # of that its owner's
    own: float = 0.0  # of that its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job in the engine."""

    id: str
    turns: tuple[Turn, ...]  # the unfinished ones, by number
    owner: str = ""
    priority: int = 0  # higher goes first
    deadline: float | None = None  # second on the engine's clock
    basis: Basis = Basis()  # filled in by the schedule that takes it

    @property
    def left(self) -> float:
        """Work left, in the family's unit."""
        return sum(turn.cost * turn.left for turn in self.turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a decision depends on besides the jobs."""

    token_budget: int = 16_384  # of one forward pass
    patience: float = 2.0  # times its own work a job may take
    slower: float = 1.25  # times as long as in order of arrival it may take, if that is more
    passing: float = 0.25  # of what those due before it can spare, a job that passes them may take
    joins: float = 1.0  # times the work before it in a pass is what a picture may bring along
    favour: float = 4.0  # times sooner is the promise of each step of priority
    memory_bytes: int | None = None  # for all sessions together; None is no limit


@dataclass(frozen=True, slots=True)
class Tick:
    """One iteration: the turn to open first, if any, and those of the forward pass."""

    opens: Turn | None = None
    steps: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every job that is not over, in order of arrival."""

    entries: tuple[Entry, ...] = ()
    done: float = 0.0  # work, since the first job

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every unfinished picture."""
        return tuple(turn for entry in self.entries for turn in entry.turns)

    def add(self, entry: Entry) -> "Schedule":
        """With one more job; raises ValueError when it is already here."""
        if any(entry.id == other.id for other in self.entries):
            raise ValueError(f"job {entry.id!r} is already in the engine")
        everyone = (*self.entries, entry)
        owned = [other.left for other in everyone if other.owner == entry.owner]
        left = sum(other.left for other in everyone)
        entry = replace(entry, basis=Basis(self.done, left, sum(owned), entry.left))
        return replace(self, entries=(*self.entries, entry))

    def drop(self, id: str) -> "Schedule":
        """Without a job. An unknown one changes nothing."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.id != id))

    def stepped(self, turns: Sequence[Turn]) -> "Schedule":
        """With these turns, each after one more step, in place of those of the same key."""
        work = sum(turn.cost for turn in turns)
        return replace(self.put(turns), done=self.done + work)

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

    `pace_s` is how long a unit of work takes, 0 when nobody knows; only deadlines need it. The
    first turn always steps, even when it alone is over the budget. No other joins whose step is
    more work than those before it together (`Policy.joins`): small edits do not wait for a large
    one's pass, though it may take them along. At most one is opened; once one in order waits for
    memory, none behind it is opened, so that what is freed goes to it. Turns that are decoded
    meanwhile keep their memory and their peak; while they do, there may be nothing to step.
    """
    entries = order(schedule, policy, now=now, pace_s=pace_s)
    turns = [turn for entry in entries for turn in entry.turns]
    tokens, memory = policy.token_budget, _unheld(turns, policy)
    opens, may_open = None, True
    is_beside = any(turn.is_closing for turn in turns)
    steps: list[Turn] = []
    for turn in turns:
        if turn.is_closing:
            continue
        welcome = policy.joins * sum(it.cost for it in steps)
        if steps and (turn.tokens > tokens or turn.cost > welcome):
            continue
        if turn.is_open:
            if (steps or is_beside) and turn.peak_bytes > memory:
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
    return Tick(opens, tuple(steps))


def order(schedule: Schedule, policy: Policy, *, now: float, pace_s: float) -> list[Entry]:
    """Who goes first: the shortest of those that may pass all due before them, then who is due
    first. Before length comes priority."""
    due = _due(schedule, policy, now=now, pace_s=pace_s)
    length = _lengths(schedule.entries)
    passing: list[Entry] = []
    waiting: list[Entry] = []
    before: list[tuple[Entry, float]] = []  # with what it can spare
    ahead = 0.0
    for entry in sorted(schedule.entries, key=lambda entry: due[entry.id]):
        may = all(_may_pass(entry, other, spare, policy) for other, spare in before)
        (passing if may else waiting).append(entry)
        ahead += entry.left
        before.append((entry, due[entry.id] - schedule.done - ahead))
    passing.sort(key=lambda entry: (-entry.priority, length[entry.id]))
    return passing + waiting


def _may_pass(entry: Entry, other: Entry, spare: float, policy: Policy) -> bool:
    """Whether an entry may go before one that is due sooner and can spare so much: when all its
    work is little of that, so that shorter ones still to come find the rest of it."""
    share = 1.0 if entry.priority > other.priority else policy.passing
    return entry.left <= share * spare


def _due(schedule: Schedule, policy: Policy, *, now: float, pace_s: float) -> dict[str, float]:
    """The work the schedule will have done when each job must be over.

    What was promised when it came, or its deadline where that is sooner and can still be kept. In
    company an owner's jobs are promised one after the other, so that who has many gives way.
    """
    is_company = len({entry.owner for entry in schedule.entries}) > 1
    due = {}
    for entry in schedule.entries:
        basis = entry.basis
        own = basis.owned if is_company else basis.own
        allowed = max(policy.slower * basis.left, policy.patience * own)
        due[entry.id] = basis.done + allowed * policy.favour**-entry.priority
        if entry.deadline is not None and pace_s:
            left = (entry.deadline - now) / pace_s
            if entry.left <= left:
                due[entry.id] = min(due[entry.id], schedule.done + left)
    return due


def _lengths(entries: Sequence[Entry]) -> dict[str, float]:
    """The work left of each job and of its owner's shorter ones, so that an owner with many jobs
    gets no more than one with few."""
    lengths: dict[str, float] = {}
    by_owner = sorted(entries, key=lambda entry: (entry.owner, entry.left))
    for _, owned in groupby(by_owner, key=lambda entry: entry.owner):
        length = 0.0
        for entry in owned:
            length += entry.left
            lengths[entry.id] = length
    return lengths


def _unheld(turns: Sequence[Turn], policy: Policy) -> float:
    if policy.memory_bytes is None:
        return float("inf")
    decoding = sum(turn.peak_bytes for turn in turns if turn.is_closing)
    return policy.memory_bytes - decoding - sum(turn.held_bytes for turn in turns if turn.is_open)


def _may_join(turn: Turn, turns: Sequence[Turn], policy: Policy) -> bool:
    """Whether it may be opened beside those that are open, each of which must still fit a pass."""
    others = [other for other in turns if other.is_open]
    if others and (turn.is_alone or any(other.is_alone for other in others)):
        return False
    peak_bytes = max(other.peak_bytes for other in (turn, *others))
    return turn.held_bytes + peak_bytes <= _unheld(turns, policy)
