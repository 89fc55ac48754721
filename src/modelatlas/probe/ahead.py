"""Work in threads ahead of the one who consumes it: in order, bounded, stopped cleanly.

At most `ahead` results wait, so memory is bounded however slow the consumer is. An error appears where its
result would have; closing the iterator (or leaving its loop) cancels what has not begun and waits for what
has.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` of each item, in the items' order, computed by threads.

    Parameters
    ----------
    workers
        Threads, at least 1.
    ahead
        Results that are computed or under way beyond the one that is consumed, at least 1.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="modelatlas-probe") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            waiting.extend(pool.submit(function, item) for item in islice(remaining, ahead))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
