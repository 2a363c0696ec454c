"""Runs of one process that train at the same time, as many as there is room for; when one ends, the next begins."""

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any

from l2m.records import Records
from l2m.training.engine import Rows, Trainer
from l2m.training.stack import Stack, common, room_for, stacks
from l2m.training.stopping import Stopped

Training = Generator[Trainer, Any, Records]
"""A run whose epochs are trained elsewhere.

It first yields its trainer when it has the lock, and is sent the list of signals; then for each epoch, and is sent the
rows, or what ended the epoch is thrown.
"""

Result = Records | Exception | Stopped
"""A run's records, or why there are none."""


class Group:
    """Trains runs, by number: they begin in their order, at most ``most`` at the same time.

    ``signals`` are those that have come, to end all; one that ended a run is added.
    """

    def __init__(self, trainings: Mapping[int, Training], most: int, signals: list[int]) -> None:
        self._results: list[tuple[int, Result]] = []
        self._trainings, self._most = trainings, most
        self._waiting = list(trainings)
        self._ready: dict[Trainer, int] = {}  # those with a lock
        self._active: dict[Trainer, int] = {}
        self._signals = signals

    def close(self) -> None:
        """Release all locks."""
        for training in reversed([*self._trainings.values()]):
            training.close()

    def prepare(self) -> None:
        """Prepare as many of the runs that wait as there is room for, and lock their directories."""
        while self._waiting and not self._signals and len(self._ready) + len(self._active) < self._most:
            number = self._waiting.pop(0)
            self._advance(number, self._ready, partial(next, self._trainings[number]))
            if self._most > 1 == len(self._ready) and not self._active:
                self._most = min(self._most, room_for(next(iter(self._ready)), self._most))

    def train(self) -> Iterator[tuple[int, Result]]:
        """Train the runs that are prepared, and those that wait, until all have ended or a signal has come.

        Yields the number of a run that has ended, and its result. A run that cannot be stacked with others, whose stack
        failed, or before which a signal came has none: it is to be trained alone.
        """
        together: list[Stack] = []
        yield from self._pop_results()
        while self._ready or self._active:
            self._start()
            stacked = {trainer for stack in together if not stack.is_released for trainer in stack.trainers}
            if stacked != set(self._active):
                for stack in together:
                    stack.release()
                together = [Stack(some) for some in stacks([*self._active])]
            for stack in together:
                self._end_epoch(stack, stack.run_epoch())
            self.prepare()
            yield from self._pop_results()

    def _pop_results(self) -> Iterator[tuple[int, Result]]:
        while self._results:
            yield self._results.pop(0)

    def _start(self) -> None:
        """Start the runs that are ready, or none after a signal."""
        ready, self._ready = self._ready, {}
        for trainer, number in ready.items():
            if self._signals or (len(self._trainings) > 1 and common(trainer) is None):
                self._trainings[number].close()
            else:
                self._advance(number, self._active, partial(self._trainings[number].send, self._signals))

    def _end_epoch(self, stack: Stack, ended: Mapping[Trainer, Rows | Exception]) -> None:
        for trainer, rows in ended.items():
            training = self._trainings[number := self._active.pop(trainer)]
            if not isinstance(rows, Exception):
                self._advance(number, self._active, partial(training.send, rows))
            elif isinstance(rows, FloatingPointError) or not stack.trainers[1:]:
                self._advance(number, self._active, partial(training.throw, rows))
            else:
                training.close()  # trained alone, it reports what is wrong with it

    def _advance(self, number: int, reached: dict[Trainer, int], step: Callable[[], Trainer]) -> None:
        """Let a run continue to its next epoch, or its end."""
        try:
            reached[step()] = number
        except StopIteration as end:
            self._results.append((number, end.value))
        except (Exception, Stopped) as error:
            self._signals += [error.signal] if isinstance(error, Stopped) else []
            self._results.append((number, error))
