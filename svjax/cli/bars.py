"""Progress bars of the command line; to a file or a pipe they write a line now and then."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

    from svjax.simulations.loop import Progress
    from svjax.sweeps.sweep import SweepProgress


class Bar:
    """A bar with what is going on, elapsed and remaining time."""

    def __init__(self):
        self.bar = None

    def run(self, now: "Progress") -> None:
        """Show where a run is."""
        self._show(f"stage {now.stage}, t = {now.t:8.1f}", now.done, now.total, now.elapsed, now.remaining)

    def sweep(self, now: "SweepProgress") -> None:
        """Show where a sweep is."""
        text = f"{now.points} of {now.total} points" + (f", t = {now.t:8.1f}" if now.t else "")
        self._show(text, now.done, now.total, now.elapsed, now.remaining)

    def _show(self, text: str, done: float, total: float, elapsed: float, remaining: float) -> None:
        from tqdm import tqdm

        if self.bar is None:
            layout = "{desc} |{bar}| {percentage:3.0f}%{postfix}"
            self.bar = tqdm(total=total, bar_format=layout, mininterval=quiet(), file=sys.stderr)
        left = "compiling" if remaining == float("inf") else f"{clock(remaining)} left"
        self.bar.set_description_str(text, refresh=False)
        self.bar.set_postfix_str(f"{clock(elapsed)} elapsed, {left}", refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def counted(total: int | None, unit: str) -> "tqdm":
    """A bar of ``total`` things, quiet where nobody watches and at first, where an input may still be refused."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, mininterval=quiet(), delay=0.5, file=sys.stderr)


def quiet() -> float:
    """Seconds between two pictures of a bar."""
    return 0.1 if sys.stderr.isatty() else 30.0


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
