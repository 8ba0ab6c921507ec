/** Cutting captions at their phrases. */
import type { PhraseView } from "../api/records";

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
    if (span[0] < end || span[1] <= span[0] || span[1] > characters.length) continue;
    if (span[0] > end) pieces.push({ text: characters.slice(end, span[0]).join(""), phrase: null });
    pieces.push({ text: characters.slice(...span).join(""), phrase });
    end = span[1];
  }
  if (end < characters.length) pieces.push({ text: characters.slice(end).join(""), phrase: null });
  return pieces;
}
