"""Routes of jobs."""

from fastapi import APIRouter

from skycue.service.records import JobRecord
from skycue.web.access import Owner, TheService
from skycue.web.schemas import Identifier

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("")
def list_jobs(service: TheService, owner: Owner) -> list[JobRecord]:
    """List your jobs of the last days, the newest first."""
    return service.jobs.list(owner)


@router.get("/{job}")
def get_job(job: Identifier, service: TheService, owner: Owner) -> JobRecord:
    """Tell how far a job is."""
    return service.jobs.get(owner, job)


@router.post("/{job}/cancel")
def cancel_job(job: Identifier, service: TheService, owner: Owner) -> JobRecord:
    """Let a job end; a finished one stays as it is."""
    return service.jobs.cancel(owner, job)
