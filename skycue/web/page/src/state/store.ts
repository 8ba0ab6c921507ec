/**
 * What the page knows, as signals: components and map layers read them and follow their changes.
 * Only the modules beside this one write to them. What must outlive the page lies on the server.
 */
import { computed, signal } from "@preact/signals";
import type { AnswerRecord, Box, JobRecord, LabelRecord, MapRecord, RasterRecord, ReadyRaster, ServerView } from "../api/records";

/** The two panels. */
export type Panel = "describe" | "classify";
/** What a drag over the map does. */
export type Tool = "pan" | "box";

/** A box that was drawn and has no answer yet. */
export interface PendingBox {
  boxId: string;
  box: Box;
  caption: string;
  /** In words; null while all goes well. */
  trouble: string | null;
  /** It waits for the user to try again. */
  isStopped: boolean;
}

/** A phrase of an answer, or the whole answer. */
export interface Target {
  answer: string;
  phrase: number | null;
}

/** A file on its way to the server. */
export interface Upload {
  name: string;
  part: number;
  isBroken: boolean;
  cancel: () => void;
}

/** A class of the user's own. */
export interface LabelClass {
  name: string;
  colour: string;
}

/** Something that the user should read. */
export interface Notice {
  id: number;
  kind: "error" | "done";
  text: string;
}

export const serverView = signal<ServerView | null>(null);
export const wantsToken = signal(false);
export const isOffline = signal(false);
/** How often the line to the server was mended: what failed to load is asked for again. */
export const returns = signal(0);
export const notices = signal<Notice[]>([]);

export const rasters = signal<RasterRecord[]>([]);
export const uploads = signal<Upload[]>([]);
/** Uploads of an earlier visit: the server has a part, and goes on when the file is chosen again. */
export const unfinished = signal<{ id: string; name: string; part: number }[]>([]);
/** The raster that was opened; it may still be in preparation. */
export const raster = signal<RasterRecord | null>(null);
/** The same once it can be looked at. */
export const readyRaster = computed(() => (raster.value?.status === "ready" ? (raster.value as ReadyRaster) : null));

export const panel = signal<Panel>("describe");
export const tool = signal<Tool>("pan");

export const answers = signal<AnswerRecord[]>([]);
export const canUndoEdit = signal(false);
export const pending = signal<PendingBox[]>([]);
/** Ids of answers, the last one chosen last; its card is shown. */
export const selection = signal<string[]>([]);
export const hovered = signal<Target | null>(null);

export const classes = signal<LabelClass[]>([]);
export const activeClass = signal<string | null>(null);
export const labels = signal<LabelRecord[]>([]);
export const selectedLabel = signal<string | null>(null);
export const canUndoLabel = signal(false);
export const method = signal("linear-probe");
/** Side in pixels of the squares to classify; null follows from the labels. */
export const windowSide = signal<number | null>(null);
export const job = signal<JobRecord | null>(null);
/** Something is being learned or classified; between two jobs too. */
export const isWorking = signal(false);
export const classMap = signal<MapRecord | null>(null);
export const hiddenClasses = signal<ReadonlySet<string>>(new Set());
export const mapOpacity = signal(0.5);

/** The answer whose card is shown. */
export const shownAnswer = computed(() => {
  const id = selection.value.at(-1);
  return answers.value.find((answer) => answer.id === id) ?? null;
});

/** What an answer is called: its name, or its place among the answers of the raster. */
export function answerName(answer: AnswerRecord): string {
  return answer.name ?? `Box ${answers.value.findIndex(({ id }) => id === answer.id) + 1}`;
}
