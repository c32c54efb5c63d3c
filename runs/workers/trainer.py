"""From a specification to what is delivered: studies are made once in a process, programs are compiled once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from hparam.tuning.segments import Segments
from lr_batch import Programs, Study, StudyError
from lr_batch.engine import ChunkResult, ChunkStore, Task, is_out_of_memory, run_task
from runs.store import StoreError
from runs.workers import outcome
from runs.workers.errors import Unfit, WorkersError
from runs.workers.specification import Tuned, refuse_unfit, study_of, task_of, tuned_of

# A device or its driver that fails, which is not the chunk's fault and may go well elsewhere.
BROKEN = re.compile(r"^(UNAVAILABLE|ABORTED|DATA_LOSS)\b|CUDA_ERROR_|hipError|NCCL")
KEPT_LANES = 256  # of a search, at their ends, in memory


class Job(NamedTuple):
    """A chunk and its study, or its search, as this process has made it."""

    study: Study | Segments
    task: Task


class Trainer:
    """Trains chunks of any number of studies and searches.

    Args:
      ends: keeps lanes of segments for other workers too, see `hparam.tuning.segments`.
    """

    def __init__(self, ends: ChunkStore | None = None) -> None:
        self.programs, self.ends = Programs(), ends
        self._studies: dict[str, Study | Segments | Unfit] = {}

    def job(self, said: Mapping[str, Any], device: jax.Device) -> Job:
        """What a specification asks for.

        Raises:
          Damaged: it is not whole.
          Unfit: this process must not train it, or cannot.
        """
        task = task_of(said)
        try:
            refuse_unfit(said["terms"], device.device_kind)
            return Job(self._study(said, task), task)
        except (KeyError, TypeError) as error:  # written by another version
            raise Unfit(f"a specification that cannot be read here: {error!r}") from error

    def _study(self, said: Mapping[str, Any], task: Task) -> Study | Segments:
        identity = task.chunk.identity
        any_segment = identity._replace(segment=None).described()
        terms = {name: value for name, value in said["terms"].items() if name != "device"}
        key = json.dumps([said["study"], any_segment, terms], sort_keys=True)
        if key not in self._studies:
            try:
                self._studies[key] = self._searched(study_of(said, identity), tuned_of(said))
            except (Unfit, ValueError, StudyError) as error:
                self._studies[key] = Unfit(str(error))
        study = self._studies[key]
        if isinstance(study, Unfit):
            raise study
        return study

    def _searched(self, study: Study, tuned: Tuned | None) -> Study | Segments:
        if tuned is None:
            return study
        options = {"programs": self.programs, "ends": self.ends, "kept": KEPT_LANES}
        return Segments(study, to_goal=tuned.to_goal, **options)

    def document(
        self,
        job: Job,
        device: jax.Device,
        *,
        store: ChunkStore | None = None,
        is_late: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any] | None:
        """What has become of a chunk, to be delivered; None where it was late.

        Raises:
          OSError, StoreError, WorkersError: the folder cannot be used, which is not the chunk's fault.
        """
        chunk = job.task.chunk
        try:
            rows = self._rows(job, device, store, is_late)
        except (OSError, StoreError, WorkersError):
            raise
        except Exception as error:
            said = f"{job.task}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
            of_jax = isinstance(error, jax.errors.JaxRuntimeError)
            if of_jax and BROKEN.search(str(error)) and not is_out_of_memory(error):
                return outcome.of_death(chunk.id, said)
            return outcome.of_failure(chunk.id, said, memory=of_jax and is_out_of_memory(error))
        return None if rows is None else outcome.of_rows(chunk, rows)

    def _rows(
        self, job: Job, device: jax.Device, store: ChunkStore | None, is_late: Callable[[], bool]
    ) -> ChunkResult | None:
        if isinstance(job.study, Segments):
            return job.study.run(job.task, device, store=store, is_late=is_late)
        return run_task(job.study, job.task, device, self.programs, store=store, is_late=is_late)
