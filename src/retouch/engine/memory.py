"""Memory in words: what an edit would have needed, and what would help."""

from retouch.ports import Memory, Plan


class NoMemory(Memory):
    """A device whose memory nobody watches."""

    def free_bytes(self) -> int | None:
        """Not known."""
        return None

    def trim(self) -> None:
        """Nothing to give back."""

    def trim_heap(self) -> None:
        """Nothing to give back."""


def remedy(plan: Plan, limit_bytes: int | None) -> str:
    """The sentence for a picture that does not fit: how much it needs, and what needs less."""
    needed_bytes = plan.held_bytes + plan.peak_bytes
    numbers = []
    if needed_bytes:
        numbers.append(f"it needs about {_shown(needed_bytes)}")
    if limit_bytes is not None:
        numbers.append(f"{_shown(limit_bytes)} are to be had")
    detail = f" ({', '.join(numbers)})" if numbers else ""
    size = f"a size below {plan.size.width}x{plan.size.height}"
    less = f"{size} or fewer references" if plan.references else size
    return (
        f"The picture does not fit into the device's memory{detail}. {less.capitalize()} would "
        f"help; the operator can offload weights or choose a smaller number format."
    )


def _shown(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
