"""Which model of an atlas stands for which task of a table of measured transfers (contract.md)."""

from collections import Counter
from collections.abc import Mapping, Sequence

from modelatlas.errors import InputError

__all__ = ["last_part", "match_names"]


def last_part(name: str) -> str:
    """Part of a name after its last `:` or `/`."""
    return name.replace(":", "/").rsplit("/", 1)[-1]


def match_names(
    ours: Sequence[str], theirs: Sequence[str], *, tasks: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Pair each of our names with the one of theirs that it meets, if any.

    Names meet if they are equal; else by the part after the last `:` or `/`; else by our model's `task`;
    where that is one single name of theirs.

    Parameters
    ----------
    ours, theirs
        Names, each once.
    tasks
        Task tag of some of our models.

    Returns
    -------
        Our name -> their name, in our order.

    Raises
    ------
    InputError
        Two of our models claim one name.
    """
    known = set(theirs)
    by_part = Counter(last_part(name) for name in theirs)
    whole = {last_part(name): name for name in theirs if by_part[last_part(name)] == 1}
    found: dict[str, str] = {}
    for name in ours:
        task = (tasks or {}).get(name)
        claims = [name if name in known else None, whole.get(last_part(name))]
        if task is not None:
            claims += [task if task in known else None, whole.get(task)]
        if claim := next((claim for claim in claims if claim is not None), None):
            found[name] = claim
    owner: dict[str, str] = {}
    for name, claim in found.items():
        if claim in owner:
            raise InputError(
                f"{owner[claim]!r} and {name!r} both claim the name {claim!r}: "
                "leave one out (--exclude), or rename one"
            )
        owner[claim] = name
    return found
