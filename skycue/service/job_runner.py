"""Threads that do jobs one after another, tell how far they are, and stop when told to."""

import logging
import threading
from collections.abc import Callable, Mapping

from skycue.errors import SkycueError
from skycue.service.jobs import ClaimedJob, Jobs
from skycue.service.records import JobKind, Problem

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How often waiting jobs of other processes are looked for."""
BEAT_S = 2.0
"""How often a running job is seen, its progress kept, and its cancellation noticed."""
LOST_CHECK_S = 20.0
"""How often jobs are looked for that lost their process."""


class JobCancelled(Exception):  # noqa: N818 - no error: somebody wanted it
    """A job is not wanted any more."""


class JobContext:
    """What a job sees of the world: how to say how far it is, and whether to go on."""

    def __init__(self, job: ClaimedJob) -> None:
        """Begin at nothing."""
        self.job = job
        self.share, self.message = 0.0, "starts"
        self._unwanted = threading.Event()

    def progress(self, share: float, message: str) -> None:
        """Say how far the job is.

        Args:
            share: Of the work, from 0 to 1.
            message: In words, for a user.

        Raises:
            JobCancelled: If it shall end.
        """
        self.check()
        self.share, self.message = min(max(share, 0.0), 1.0), message

    def check(self) -> None:
        """Raise `JobCancelled` if the job shall end."""
        if self._unwanted.is_set():
            raise JobCancelled

    def cancel(self) -> None:
        """Let the job end at its next step."""
        self._unwanted.set()

    @property
    def is_cancelled(self) -> bool:
        """The job shall end."""
        return self._unwanted.is_set()


Work = Callable[[JobContext], str | None]
"""Does a job and returns the id of what it made."""


class JobRunner:
    """Does the jobs of a table."""

    def __init__(
        self,
        jobs: Jobs,
        work: Mapping[JobKind, Work],
        *,
        threads: int,
        after_failure: Callable[[ClaimedJob, Problem], None] | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            jobs: The table.
            work: What does each kind of job.
            threads: Jobs at once.
            after_failure: Told about a job that failed, before the table says so.
        """
        self._jobs, self._work, self._after_failure = jobs, work, after_failure
        self._stopping, self._news = threading.Event(), threading.Condition()
        self._running: dict[str, JobContext] = {}
        self._threads = [
            threading.Thread(target=self._serve, name=f"job-{n}", daemon=True)
            for n in range(threads)
        ]
        self._threads.append(threading.Thread(target=self._watch, name="job-watch", daemon=True))

    def start(self) -> None:
        """Begin to do jobs."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Tell that a job waits or was cancelled."""
        with self._news:
            self._news.notify_all()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Let running jobs end, to be done again by the next start."""
        self._stopping.set()
        for context in list(self._running.values()):
            context.cancel()
        self.wake()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            job = self._jobs.claim()
            if job is None:
                with self._news:
                    self._news.wait(POLL_S)
                continue
            self._run(job)

    def _run(self, job: ClaimedJob) -> None:
        context = JobContext(job)
        self._running[job.id] = context
        try:
            result = self._work[job.kind](context)
            self._jobs.finish(job.id, result)
        except JobCancelled:
            if not self._stopping.is_set():  # else it stays "running", and waits again at a start
                self._jobs.end_cancelled(job.id)
        except SkycueError as error:
            self._fail(job, Problem(type=type(error).__name__, message=str(error)))
        except Exception:  # a bug of ours must not end the thread; the log has it in full
            logger.exception("job %s (%s) failed", job.id, job.kind)
            message = "something went wrong in the server; its log says what."
            self._fail(job, Problem(type="ServerError", message=message))
        finally:
            del self._running[job.id]

    def _fail(self, job: ClaimedJob, problem: Problem) -> None:
        if self._after_failure is not None:
            self._after_failure(job, problem)
        self._jobs.fail(job.id, problem)

    def _watch(self) -> None:
        """Keep the progress of running jobs, notice cancellations, and find lost jobs."""
        beats = 0
        while not self._stopping.wait(BEAT_S / 4):
            beats += 1
            for job, context in list(self._running.items()):
                if not self._jobs.note(job, context.share, context.message):
                    context.cancel()
            if beats % int(LOST_CHECK_S / (BEAT_S / 4)) == 0 and self._jobs.release_lost():
                self.wake()
