/** The first panel: boxes, what is said of them, and the files to take away. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { AnswerRecord } from "../api/records";
import { answersFile, download, type AnswerFormat } from "../api/client";
import { phraseColour } from "../state/colours";
import { choose, chooseNext, deleteChosen, forget, mergeChosen, retry, undoEdit } from "../state/describing";
import { attempt } from "../state/notices";
import { answerName, answers, canUndoEdit, pending, raster, selection, shownAnswer, tool, type PendingBox } from "../state/store";
import { AnswerCard } from "./answer_card";
import { Button, IconButton } from "./button";
import { Downloads } from "./downloads";
import { Icon } from "./icons";
import { Words } from "./words";

const FORMATS: readonly { format: AnswerFormat; name: string; suffix: string; needsPlace: boolean }[] = [
  { format: "geojson", name: "GeoJSON", suffix: "geojson", needsPlace: true },
  { format: "gpkg", name: "GeoPackage", suffix: "gpkg", needsPlace: true },
  { format: "parquet", name: "GeoParquet", suffix: "parquet", needsPlace: true },
  { format: "coco", name: "COCO", suffix: "coco.json", needsPlace: false },
  { format: "png", name: "PNG", suffix: "png", needsPlace: false },
];

/** Boxes and their answers. */
export function DescribePanel() {
  const renaming = useSignal(false);
  const answer = shownAnswer.value;
  useEffect(() => void (renaming.value = false), [answer?.id]);
  return (
    <>
      <div class="panel-body">
        {pending.value.map((box) => <PendingCard key={box.boxId} box={box} />)}
        {answer !== null && pending.value.length === 0 && <AnswerCard key={answer.id} answer={answer} renaming={renaming} />}
        {answers.value.length === 0 && pending.value.length === 0 && <Invitation />}
        {answers.value.length > 0 && <AnswerList onRename={() => (renaming.value = true)} />}
      </div>
      <Downloads
        formats={FORMATS}
        isEmpty={answers.value.length === 0}
        onDownload={(format, suffix) => {
          const { id, name } = raster.value!;
          void attempt(() => download(answersFile(id, format), `${stem(name)}_answers.${suffix}`));
        }}
      />
    </>
  );
}

/** The name of a file without its last suffix. */
export const stem = (name: string): string => name.replace(/\.[^.]{1,8}$/, "") || "raster";

function Invitation() {
  return (
    <div class="invitation">
      <Icon name="box" />
      <p>
        Draw a box around something, and read what is there. Every phrase of the caption gets a mask of its own colour.
      </p>
      <Button kind="primary" icon="box" onClick={() => (tool.value = "box")}>Draw a box</Button>
      <p class="fine">or press <kbd>B</kbd>, then drag; with Shift a drag always draws.</p>
    </div>
  );
}

function PendingCard({ box }: { box: PendingBox }) {
  return (
    <article class="card is-pending" aria-label="A box that is being described" aria-busy={!box.isStopped}>
      <p class="caption" aria-live="polite">
        {box.caption || (box.isStopped ? "" : "Looking …")}
        {!box.isStopped && <span class="caret" aria-hidden="true" />}
      </p>
      {box.trouble !== null && (
        <p class="trouble" role="alert">
          <Words text={box.trouble} />
        </p>
      )}
      {box.isStopped && (
        <div class="button-row">
          <Button kind="primary" onClick={() => void retry(box)}>Try again</Button>
          <Button onClick={() => forget(box.boxId)}>Give this box up</Button>
        </div>
      )}
    </article>
  );
}

function AnswerList({ onRename }: { onRename: () => void }) {
  const chosen = selection.value;
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) chooseNext(step);
    else if (event.key === "F2") onRename();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <section class="list-section">
      <header class="section-head">
        <h3>Boxes <span class="count">{answers.value.length}</span></h3>
        <div class="actions">
          {chosen.length > 1 && (
            <>
              <Button icon="merge" onClick={() => void mergeChosen()} title="Make one of the chosen boxes (M)">
                Merge {chosen.length}
              </Button>
              <IconButton icon="remove" label={`Delete ${chosen.length} boxes`} keys="Delete" onClick={() => void deleteChosen()} />
            </>
          )}
          <IconButton icon="undo" label="Undo" keys="Ctrl+Z" disabled={!canUndoEdit.value} onClick={() => void undoEdit()} />
        </div>
      </header>
      <ul class="answers" role="listbox" aria-label="Boxes" aria-multiselectable="true" tabIndex={0} onKeyDown={onKeyDown}
        aria-activedescendant={chosen.length > 0 ? `row-${chosen.at(-1)}` : undefined}>
        {answers.value.map((answer) => <AnswerRow key={answer.id} answer={answer} isChosen={chosen.includes(answer.id)} />)}
      </ul>
      {answers.value.length > 1 && chosen.length < 2 && (
        <p class="fine">Hold Ctrl and click to choose several, then merge or delete them.</p>
      )}
    </section>
  );
}

function AnswerRow({ answer, isChosen }: { answer: AnswerRecord; isChosen: boolean }) {
  const row = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (isChosen) row.current?.scrollIntoView({ block: "nearest" });
  }, [isChosen]);
  const least = Math.min(...answer.phrases.map(({ score }) => score));
  return (
    <li
      ref={row}
      id={`row-${answer.id}`}
      role="option"
      aria-selected={isChosen}
      class="answer-row"
      onClick={(event) => choose(answer.id, event.ctrlKey || event.metaKey || event.shiftKey)}
    >
      <span class="dots" aria-hidden="true">
        {answer.phrases.slice(0, 4).map((_, index) => <i key={index} style={{ background: phraseColour(index) }} />)}
      </span>
      <span class="row-text">
        <strong>{answerName(answer)}</strong>
        <span class="excerpt">{answer.caption}</span>
      </span>
      {answer.flags.length > 0 && (
        <span class="flag-badge" title={answer.flags.join("\n")} aria-label={answer.flags.length === 1 ? "A doubt" : `${answer.flags.length} doubts`}>
          <Icon name="flag" />
        </span>
      )}
      {answer.phrases.length > 0 && <span class="fine" title="Lowest score of its masks">{Math.round(least * 100)} %</span>}
    </li>
  );
}
