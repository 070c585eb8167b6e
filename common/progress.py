"""Progress of a long run on stderr: a bar on a terminal, elsewhere a line from time to time."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

LINE_SECONDS = 30.0  # between two lines


@contextlib.contextmanager
def shown(name: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """Show the progress of the unit `name`. Yields tell(done, **values), for the caller to report progress with.

    total, done: in steps, epochs or whatever the caller counts; values: numbers such as loss=0.12.
    """
    if not sys.stderr.isatty():
        yield _lines(name, total, done)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(elapsed_when_finished=False),
        progress.TextColumn("{task.fields[values]}", markup=False),
    )
    with progress.Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bar:
        task = bar.add_task(name, total=total, completed=done, values="")
        yield lambda done, **values: bar.update(task, completed=done, values=_words(values))


def _lines(name: str, total: int, begun: int) -> Callable[..., None]:
    started = time.monotonic()
    last = started

    def tell(done: int, **values: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_SECONDS and done < total:
            return
        last = now
        rate = (done - begun) / max(now - started, 1e-9)
        left = f", {timedelta(seconds=round((total - done) / rate))} left" if 0 < done < total and rate > 0 else ""
        print(f"  {name}: {done} of {total} {_words(values)}{left}", file=sys.stderr, flush=True)

    return tell


def _words(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
