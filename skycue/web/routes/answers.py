"""Routes of kept answers: listed, edited, exported."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse

from skycue.service import answer_edits
from skycue.service.answer_log import Edited
from skycue.service.exports import SUFFIX_OF, export_answers
from skycue.service.records import AnswerFormat
from skycue.service.service import Service
from skycue.web.access import Owner, TheService
from skycue.web.downloads import MEDIA_TYPE_OF, download
from skycue.web.schemas import (
    AnswersView,
    Delete,
    EditRequest,
    EditView,
    Identifier,
    Merge,
    MergePhrases,
    Rename,
)

router = APIRouter(prefix="/rasters", tags=["answers"])


@router.get("/{raster}/answers")
def list_answers(raster: Identifier, service: TheService, owner: Owner) -> AnswersView:
    """List your answers about a raster, the oldest first."""
    service.rasters.get(owner, raster)
    return AnswersView(
        answers=service.answers.list(owner, raster),
        can_undo=service.answers.can_undo(owner, raster),
    )


@router.post("/{raster}/edits")
def edit_answers(
    raster: Identifier, asked: EditRequest, service: TheService, owner: Owner
) -> EditView:
    """Rename, delete or merge answers or their phrases, or take the last edit back."""
    service.rasters.get(owner, raster)
    edited = _edit(service, owner, raster, asked)
    return EditView(changed=edited.changed, removed=edited.removed, can_undo=edited.can_undo)


@router.get("/{raster}/answers/export", response_class=FileResponse)
def export(
    raster: Identifier,
    service: TheService,
    owner: Owner,
    file_format: Annotated[AnswerFormat, Query(alias="format")] = "geojson",
) -> FileResponse:
    """Download your answers about a raster as a file."""
    record = service.rasters.get(owner, raster)
    answers = service.answers.list(owner, raster)
    with (
        download(service.spool, f"answers{SUFFIX_OF[file_format]}") as made,
        service.rasters.open(owner, raster) as opened,
    ):
        export_answers(made.path, file_format, answers, opened, name=record.name)
    return made.response(MEDIA_TYPE_OF[file_format])


def _edit(service: Service, owner: str, raster: str, asked: EditRequest) -> Edited:
    """Do what an edit says."""
    log, edit = service.answers, asked.edit
    match edit:
        case Rename():
            return log.edit(
                owner,
                raster,
                [edit.answer],
                lambda old: [answer_edits.rename(old[0], edit.phrase, edit.name)],
            )
        case Delete(phrase=None):
            return log.edit(owner, raster, [edit.answer], lambda old: [])
        case Delete(phrase=int(phrase)):
            return log.edit(
                owner,
                raster,
                [edit.answer],
                lambda old: [answer_edits.without_phrase(old[0], phrase)],
            )
        case Merge():
            return log.edit(owner, raster, edit.answers, lambda old: [answer_edits.merge(old)])
        case MergePhrases():
            with service.rasters.open(owner, raster) as opened:
                place = opened.georeference
            return log.edit(
                owner,
                raster,
                [edit.answer],
                lambda old: [answer_edits.merge_phrases(old[0], edit.phrases, place)],
            )
        case _:
            return log.undo(owner, raster)
