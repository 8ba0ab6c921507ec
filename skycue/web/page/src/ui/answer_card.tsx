/** The chosen answer: its caption, its phrases with scores, its flags, and what can be done with it. */
import { useSignal } from "@preact/signals";
import type { AnswerRecord, PhraseView } from "../api/records";
import { fitBox } from "../map/map_view";
import { phraseColour } from "../state/colours";
import { deleteChosen, deletePhrase, mergePhrases, rename } from "../state/describing";
import { answerName } from "../state/store";
import { Button, IconButton } from "./button";
import { Caption, isLit, lighting } from "./caption";
import { Editable } from "./editable";
import { Icon } from "./icons";

/** Scores below are shown as doubtful. */
const DOUBTFUL = 0.5;

/** The card of an answer. */
export function AnswerCard({ answer, renaming }: { answer: AnswerRecord; renaming: { value: boolean } }) {
  const chosen = useSignal<ReadonlySet<number>>(new Set());
  const name = answerName(answer);
  const toggle = (phrase: number): void => {
    const next = new Set(chosen.value);
    if (!next.delete(phrase)) next.add(phrase);
    chosen.value = next;
  };
  const merge = async (): Promise<void> => {
    await mergePhrases(answer.id, [...chosen.value].sort((a, b) => a - b));
    chosen.value = new Set();
  };
  return (
    <article class="card" aria-label={name}>
      <header class="card-head">
        {renaming.value ? (
          <Editable
            value={answer.name ?? ""}
            label={`New name of ${name}`}
            onDone={(value) => {
              renaming.value = false;
              if (value !== null && value !== (answer.name ?? "")) void rename(answer.id, null, value);
            }}
          />
        ) : (
          <h2 onDblClick={() => (renaming.value = true)}>{name}</h2>
        )}
        <div class="actions">
          <IconButton icon="fit" label="Show on the map" onClick={() => fitBox(answer.box)} />
          <IconButton icon="rename" label={`Rename ${name}`} keys="F2" onClick={() => (renaming.value = true)} />
          <IconButton icon="remove" label={`Delete ${name}`} keys="Delete" onClick={() => void deleteChosen()} />
        </div>
      </header>
      <Caption answer={answer} />
      {answer.flags.length > 0 && <Flags flags={answer.flags} />}
      {answer.phrases.length > 0 && (
        <ul class="phrases">
          {answer.phrases.map((phrase, index) => (
            <PhraseRow
              key={`${answer.id}-${index}`}
              answer={answer}
              phrase={phrase}
              index={index}
              isChosen={chosen.value.has(index)}
              onChoose={() => toggle(index)}
            />
          ))}
        </ul>
      )}
      {chosen.value.size > 1 && (
        <Button icon="merge" onClick={() => void merge()}>Merge {chosen.value.size} masks</Button>
      )}
      <p class="fine">
        {answer.model} · box {answer.box.map(Math.round).join(", ")}
      </p>
    </article>
  );
}

function Flags({ flags }: { flags: string[] }) {
  return (
    <ul class="flags">
      {flags.map((flag) => (
        <li key={flag}>
          <Icon name="flag" /> <span>{flag}</span>
        </li>
      ))}
    </ul>
  );
}

interface PhraseRowProps {
  answer: AnswerRecord;
  phrase: PhraseView;
  index: number;
  isChosen: boolean;
  onChoose: () => void;
}

function PhraseRow({ answer, phrase, index, isChosen, onChoose }: PhraseRowProps) {
  const renaming = useSignal(false);
  const name = phrase.name ?? phrase.text;
  const canMerge = answer.phrases.length > 1;
  return (
    <li
      class={`phrase-row ${isLit(answer.id, index) ? "is-lit" : ""}`}
      style={{ "--phrase": phraseColour(index) }}
      {...lighting(answer.id, index)}
    >
      <label class="swatch" title={canMerge ? "Choose masks to merge" : undefined}>
        <input type="checkbox" checked={isChosen} disabled={!canMerge} onChange={onChoose} aria-label={`Choose ${name} to merge`} />
      </label>
      <div class="phrase-text">
        {renaming.value ? (
          <Editable
            value={name}
            label={`New name of ${name}`}
            onDone={(value) => {
              renaming.value = false;
              if (value !== null && value !== name) void rename(answer.id, index, value);
            }}
          />
        ) : (
          <span class="phrase-name" onDblClick={() => (renaming.value = true)}>{name}</span>
        )}
        <span class="fine">{detailsOf(phrase, index === answer.prompted)}</span>
      </div>
      <Score phrase={phrase} />
      <div class="row-actions">
        <IconButton icon="rename" label={`Rename ${name}`} onClick={() => (renaming.value = true)} />
        <IconButton icon="remove" label={`Delete ${name}`} onClick={() => void deletePhrase(answer.id, index)} />
      </div>
    </li>
  );
}

function Score({ phrase }: { phrase: PhraseView }) {
  if (phrase.box === null) return <span class="score is-doubtful">no mask</span>;
  const percent = Math.round(phrase.score * 100);
  return (
    <span class={`score ${phrase.score < DOUBTFUL ? "is-doubtful" : ""}`} title="How sure the model is of this mask">
      <meter min={0} max={1} value={phrase.score} aria-label={`Score ${percent} percent`} />
      {percent} %
    </span>
  );
}

function detailsOf(phrase: PhraseView, isPrompted: boolean): string {
  const named = phrase.class_name && phrase.class_score !== null
    ? `${phrase.class_name} ${Math.round(phrase.class_score * 100)} %`
    : phrase.class_name;
  const parts = [isPrompted ? "in the box" : null, phrase.name ? `“${phrase.text}”` : null, named, areaText(phrase.area_m2)];
  return parts.filter((part) => part !== null).join(" · ");
}

/** An area for people: square metres, hectares or square kilometres. */
export function areaText(area: number | null): string | null {
  if (area === null) return null;
  if (area < 10_000) return `${area < 10 ? area.toFixed(1) : Math.round(area).toLocaleString("en")} m²`;
  return area < 1_000_000 ? `${(area / 10_000).toFixed(1)} ha` : `${(area / 1_000_000).toFixed(1)} km²`;
}
