"""Routes of boxes: described all at once, or told while the captions are written."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from skycue.errors import SkycueError
from skycue.service.service import Service
from skycue.web.access import Owner, TheService
from skycue.web.event_stream import Mailbox, stream_boxes
from skycue.web.schemas import AnswersView, DescribeRequest

router = APIRouter(tags=["describe"])

EVENTS = {
    200: {
        "description": "Events `token`, `answer`, `error` for boxes, and one `done`.",
        "content": {
            "text/event-stream": {
                "example": 'event: token\ndata: {"box_id": "first", "caption": "A storage"}\n\n'
            }
        },
    }
}


class BoxesError(SkycueError):
    """Boxes of a request could not be described; the message is that of the first."""


@router.post("/describe")
async def describe(asked: DescribeRequest, service: TheService, owner: Owner) -> AnswersView:
    """Describe boxes on a raster, and answer when all are done; for many take the stream."""
    mailbox = await _begin(asked, service, owner)
    answers, problem = [], None
    left = len(asked.boxes)
    while left:
        event = await mailbox.next()
        assert event is not None, "without a time-out an event comes"
        left -= event.kind != "token"
        if event.record is not None:
            answers.append(event.record)
        elif event.kind == "error" and problem is None:
            assert isinstance(event.data, dict)
            told = event.data["error"]
            assert isinstance(told, dict)
            problem = str(told["message"])
    if problem is not None:
        kept = f" The other {len(answers)} boxes are answered and kept." if answers else ""
        raise BoxesError(f"{problem}{kept}")
    place = {asked_box.box_id: n for n, asked_box in enumerate(asked.boxes)}
    answers.sort(key=lambda record: place[record.box_id])
    can_undo = await run_in_threadpool(service.answers.can_undo, owner, asked.raster)
    return AnswersView(answers=answers, can_undo=can_undo)


@router.post("/describe/stream", response_class=StreamingResponse, responses=EVENTS)  # type: ignore[arg-type]
async def describe_stream(
    asked: DescribeRequest, service: TheService, owner: Owner
) -> StreamingResponse:
    """Describe boxes and tell captions word by word; what was begun is kept if you go away."""
    mailbox = await _begin(asked, service, owner)
    return stream_boxes(mailbox, len(asked.boxes))


async def _begin(asked: DescribeRequest, service: Service, owner: str) -> Mailbox:
    mailbox = Mailbox()

    def begin() -> None:
        boxes = [(entry.box_id, entry.box) for entry in asked.boxes]
        service.describing.begin(
            owner, asked.raster, boxes, mailbox.put, crs=asked.crs, ask=asked.ask
        )

    await run_in_threadpool(begin)
    return mailbox
