/** Boxes become answers; answers are renamed, deleted, merged, and brought back. */
import { batch } from "@preact/signals";
import * as client from "../api/client";
import { ConnectionError } from "../api/http";
import type { AnswerRecord, Box } from "../api/records";
import { attempt } from "./notices";
import { Queue } from "./queue";
import { answers, canUndoEdit, hovered, isOffline, pending, raster, selection, type PendingBox } from "./store";

/** Between looks for an answer after the stream broke. */
const LOOK_EVERY_MS = 1500;
/** Looks at a server that answers, before the box is given up. */
const MAX_LOOKS = 20;

const edits = new Queue();

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Fetch what is known of a raster. */
export async function loadAnswers(id: string): Promise<void> {
  const view = await client.answers(id);
  if (raster.value?.id === id) show(view.answers, view.can_undo);
}

function show(all: AnswerRecord[], canUndo: boolean): void {
  batch(() => {
    answers.value = all;
    canUndoEdit.value = canUndo;
    const ids = new Set(all.map(({ id }) => id));
    selection.value = selection.value.filter((id) => ids.has(id));
    hovered.value = null;
    const done = new Set(all.map(({ box_id }) => box_id));
    pending.value = pending.value.filter(({ boxId }) => !done.has(boxId));
  });
}

/** Describe a new box; its words appear in `pending`, then it becomes an answer. */
export async function describeBox(box: Box): Promise<void> {
  const boxId = `b-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
  pending.value = [...pending.value, { boxId, box, caption: "", trouble: null, isStopped: false }];
  selection.value = [];
  await ask(boxId, box);
}

/** Ask again for a box whose answer never came. */
export async function retry({ boxId, box }: PendingBox): Promise<void> {
  change(boxId, { caption: "", trouble: null, isStopped: false });
  await ask(boxId, box);
}

/** Give a box up that has no answer. */
export function forget(boxId: string): void {
  pending.value = pending.value.filter((box) => box.boxId !== boxId);
}

async function ask(boxId: string, box: Box): Promise<void> {
  const id = raster.value!.id;
  try {
    for await (const event of client.describe(id, boxId, box)) {
      isOffline.value = false;
      if (event.kind === "token") change(boxId, { caption: event.caption });
      else if (event.kind === "answer") keep(event.answer);
      else change(boxId, { trouble: event.error.message, isStopped: true });
    }
  } catch (error) {
    if (error instanceof ConnectionError) await lookFor(id, boxId);
    else change(boxId, { trouble: (error as Error).message, isStopped: true });
  }
}

/** After the line broke: the server finishes what it has begun, so look for the answer there. */
async function lookFor(id: string, boxId: string): Promise<void> {
  change(boxId, { trouble: "The connection was lost. Looking for the answer …" });
  for (let looks = 0; looks < MAX_LOOKS;) {
    await sleep(LOOK_EVERY_MS);
    if (raster.value?.id !== id || !isPending(boxId)) return;
    try {
      await loadAnswers(id);
      isOffline.value = false;
      looks += 1; // in vain, or this was the last
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      isOffline.value = true;
    }
    if (!isPending(boxId)) {
      const found = answers.value.find((answer) => answer.box_id === boxId);
      if (found !== undefined) selection.value = [found.id];
      return;
    }
  }
  change(boxId, { trouble: "The connection was lost and no answer came.", isStopped: true });
}

const isPending = (boxId: string): boolean => pending.value.some((box) => box.boxId === boxId);

function change(boxId: string, part: Partial<PendingBox>): void {
  pending.value = pending.value.map((box) => (box.boxId === boxId ? { ...box, ...part } : box));
}

function keep(answer: AnswerRecord): void {
  if (raster.value?.id !== answer.raster) return; // another raster was opened meanwhile
  batch(() => {
    forget(answer.box_id);
    answers.value = [...answers.value.filter(({ id }) => id !== answer.id), answer];
    if (selection.value.length === 0) selection.value = [answer.id];
  });
}

/** Choose one answer, or add one to those chosen. */
export function choose(id: string, isAdded = false): void {
  const others = selection.value.filter((other) => other !== id);
  if (!isAdded) selection.value = [id];
  else selection.value = others.length < selection.value.length ? others : [...others, id];
}

/** Choose the answer a number of places on in the list. */
export function chooseNext(step: number): void {
  const ids = answers.value.map(({ id }) => id);
  if (ids.length === 0) return;
  const here = ids.indexOf(selection.value.at(-1) ?? "");
  const next = here < 0 ? (step > 0 ? 0 : ids.length - 1) : (here + step + ids.length) % ids.length;
  selection.value = [ids[next]!];
}

/** Change answers on the server, then here. */
async function edit(action: client.Edit): Promise<void> {
  const id = raster.value!.id;
  await edits.run(() => attempt(async () => {
    const { changed, removed, can_undo } = await client.edit(id, action);
    if (raster.value?.id !== id) return;
    const news = new Map(changed.map((answer) => [answer.id, answer]));
    const kept = answers.value.filter((answer) => !removed.includes(answer.id)).map((answer) => {
      const changedOne = news.get(answer.id);
      news.delete(answer.id);
      return changedOne ?? answer;
    });
    const all = [...kept, ...news.values()].sort((a, b) => a.created_at.localeCompare(b.created_at));
    show(all, can_undo);
    if (action.action === "merge") selection.value = changed.slice(0, 1).map((answer) => answer.id);
  }));
}

/** Rename an answer or a phrase; an empty name takes the name away. */
export function rename(answer: string, phrase: number | null, name: string): Promise<void> {
  return edit({ action: "rename", answer, ...(phrase === null ? {} : { phrase }), name: name.trim() || null });
}

/** Delete an answer or a phrase of it. */
export function deletePhrase(answer: string, phrase: number): Promise<void> {
  return edit({ action: "delete", answer, phrase });
}

/** Delete the chosen answers, one after the other, so that each can be brought back. */
export async function deleteChosen(): Promise<void> {
  for (const id of selection.value) await edit({ action: "delete", answer: id });
}

/** Make one answer of the chosen ones. */
export async function mergeChosen(): Promise<void> {
  if (selection.value.length > 1) await edit({ action: "merge", answers: selection.value });
}

/** Unite phrases of an answer into the first of them. */
export function mergePhrases(answer: string, phrases: number[]): Promise<void> {
  return edit({ action: "merge_phrases", answer, phrases });
}

/** Take the last edit back. */
export async function undoEdit(): Promise<void> {
  await edits.run(() => Promise.resolve()); // an edit under way may be the one to take back
  if (canUndoEdit.value) await edit({ action: "undo" });
}
