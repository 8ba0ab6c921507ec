/** A caption whose phrases have the colours of their masks. */
import type { AnswerRecord, PhraseView } from "../api/records";
import { phraseColour } from "../state/colours";
import { hovered } from "../state/store";
import { piecesOf } from "./caption_pieces";

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
    <span
      role="button"
      tabIndex={0}
      class={`phrase ${isLit(answer.id, phrase) ? "is-lit" : ""}`}
      style={{ "--phrase": phraseColour(phrase) }}
      aria-label={spoken(answer.phrases[phrase]!, text)}
      data-phrase={phrase}
      {...lighting(answer.id, phrase)}
      onKeyDown={moveAlong}
    >
      {text}
    </span>
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
