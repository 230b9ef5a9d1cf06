"""Steps whose loss or gradient was not a number: left out, named, counted, and not for ever."""

from training.errors import BadData


class LostSteps:
    """How many steps were left out, of how many that may be."""

    def __init__(self, limit: int, count: int) -> None:
        self._limit, self.count = limit, count

    def add(self, step: int, fault: str) -> str:
        """The line of a report for one more.

        Raises `BadData` where there are more than may be.
        """
        if self.count >= self._limit:
            left_out = f"; steps left out before: {self.count}" if self.count else ""
            raise BadData(
                f"{fault}{left_out}. Look at these samples; if they are sound, lower optim.lr, or "
                "raise optim.warmup_steps, and go on from the last checkpoint. data.without "
                "leaves samples out by their keys, run.skipped_losses so many steps"
            )
        self.count += 1
        return f"step {step} is left out, {self.count} of at most {self._limit}: {fault}"
