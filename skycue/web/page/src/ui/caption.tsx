/** A caption whose phrases have the colours of their masks. */
import type { AnswerRecord, PhraseView } from "../api/records";
import { phraseColour } from "../state/colours";
import { hovered } from "../state/store";

/** A piece of a caption: words of a phrase, or the words between two. */
export interface Piece {
  text: string;
  phrase: number | null;
}

/** Cut a caption at the spans of its phrases; where spans overlap, the first keeps the words. */
export function piecesOf(caption: string, phrases: readonly Pick<PhraseView, "span">[]): Piece[] {
  const characters = Array.from(caption); // spans count characters as Python does, not UTF-16 units
  const spans = phrases.map(({ span }, phrase) => ({ span, phrase })).sort((a, b) => a.span[0] - b.span[0]);
  const pieces: Piece[] = [];
  let end = 0;
  for (const { span, phrase } of spans) {
    if (span[0] < end || span[1] <= span[0]) continue;
    if (span[0] > end) pieces.push({ text: characters.slice(end, span[0]).join(""), phrase: null });
    pieces.push({ text: characters.slice(...span).join(""), phrase });
    end = span[1];
  }
  if (end < characters.length) pieces.push({ text: characters.slice(end).join(""), phrase: null });
  return pieces;
}

/** The caption of an answer; each phrase is a stop of the Tab key and lights up its mask. */
export function Caption({ answer }: { answer: AnswerRecord }) {
  return (
    <p class="caption">
      {piecesOf(answer.caption, answer.phrases).map(({ text, phrase }, index) =>
        phrase === null ? <span key={index}>{text}</span> : <PhraseWords key={index} answer={answer} phrase={phrase} text={text} />,
      )}
    </p>
  );
}

function PhraseWords({ answer, phrase, text }: { answer: AnswerRecord; phrase: number; text: string }) {
  return (
    <button
      type="button"
      class={`phrase ${isLit(answer.id, phrase) ? "is-lit" : ""}`}
      style={{ "--phrase": phraseColour(phrase) }}
      aria-label={spoken(answer.phrases[phrase]!, text)}
      data-phrase={phrase}
      {...lighting(answer.id, phrase)}
      onKeyDown={moveAlong}
    >
      {text}
    </button>
  );
}

/** Whether a phrase is lit up, by the mouse or by the keyboard, here or on the map. */
export const isLit = (answer: string, phrase: number): boolean =>
  hovered.value?.answer === answer && hovered.value.phrase === phrase;

/** What makes an element light up a phrase while the mouse or the focus is on it. */
export function lighting(answer: string, phrase: number) {
  const on = (): void => void (hovered.value = { answer, phrase });
  const off = (): void => void (hovered.value = null);
  return { onMouseEnter: on, onMouseLeave: off, onFocus: on, onBlur: off };
}

function spoken(phrase: PhraseView, text: string): string {
  const mask = phrase.box === null ? "no mask" : `score ${Math.round(phrase.score * 100)} percent`;
  return `${text}, ${mask}`;
}

/** Left and right go from phrase to phrase. */
function moveAlong(event: KeyboardEvent): void {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step === undefined) return;
  const here = event.currentTarget as HTMLElement;
  const all = [...here.parentElement!.querySelectorAll<HTMLElement>("[data-phrase]")];
  all[(all.indexOf(here) + step + all.length) % all.length]?.focus();
  event.preventDefault();
}
