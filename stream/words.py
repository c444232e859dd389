"""How messages count, and how they name faults."""


def number_of(count: int, one: str, many: str = "") -> str:
    """A number and its word: "1 moment", "2 moments", "1 person", "0 people".

    Args:
        count: how many.
        one: the word for one.
        many: the word for several; that for one and an s when empty.
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def people(count: int) -> str:
    """How many people: "nobody", "1 person", "2 people"."""
    return number_of(count, "person", "people") if count else "nobody"


def own_fault(whose: str, error: BaseException) -> str:
    """What to say where something ended by an error that is not the user's to mend; the traceback goes to a log."""
    return f"{whose} stopped by a fault of its own: {type(error).__name__}: {error}"
