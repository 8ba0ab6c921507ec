/** Labels become a classifier, the classifier a map over the raster; labels correct it. */
import { batch } from "@preact/signals";
import * as client from "../api/client";
import { ConnectionError } from "../api/http";
import type { Box, JobRecord, LabelRecord, MapRecord, ReadyRaster } from "../api/records";
import { freeClassColour } from "./colours";
import { History } from "./history";
import { attempt, notify } from "./notices";
import { Queue } from "./queue";
import {
  activeClass, canUndoLabel, classes, classMap, hiddenClasses, isOffline, isWorking, job, labels, method, raster, readyRaster,
  selectedLabel, windowSide,
} from "./store";

const POLL_MS = 500;
/** Of squares to classify: what the server allows, and what it does by itself. */
const SIDES = { least: 8, most: 4096, usual: 64 };
/** Cells along a square that is classified. */
const CELLS_ALONG = 2;
/** Of cells, in pixels: what the server allows. */
const LEAST_STRIDE = 4;
/** More squares take minutes on two cores: cells are then as large as squares. */
const MANY_SQUARES = 20_000;
export const MIN_CLASSES = 2;

const history = new History<LabelRecord[]>();
const changes = new Queue();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Fetch the labels and the newest map of a raster, and follow a job that still runs. */
export async function loadClasses(id: string): Promise<void> {
  const [known, maps, jobs] = await Promise.all([client.labels(id), client.maps(id), client.jobs()]);
  if (raster.value?.id !== id) return;
  history.clear();
  const newest = newestOf(maps);
  const names = [...new Set([...(newest?.classes.map(({ name }) => name) ?? []), ...known.map((label) => label.class_name)])];
  batch(() => {
    labels.value = known;
    selectedLabel.value = null;
    canUndoLabel.value = false;
    classMap.value = newest;
    hiddenClasses.value = new Set();
    classes.value = [];
    for (const name of names) addClass(name);
    activeClass.value = names[0] ?? null;
    job.value = null;
    isWorking.value = false;
  });
  followRunning(id, jobs);
}

/** Fetch again what may have changed while the line was broken; what can be undone stays so. */
export function reloadClasses(id: string): Promise<void> {
  return changes.run(async () => {
    const [known, maps, jobs] = await Promise.all([client.labels(id), client.maps(id), client.jobs()]);
    if (raster.value?.id !== id) return;
    const active = activeClass.value;
    batch(() => {
      labels.value = known;
      for (const label of known) addClass(label.class_name);
      activeClass.value = active ?? activeClass.value;
    });
    const newest = newestOf(maps);
    if (newest !== null && newest.id !== classMap.value?.id) showMap(newest);
    if (!isWorking.value) followRunning(id, jobs);
  });
}

const newestOf = (maps: readonly MapRecord[]): MapRecord | null =>
  maps.toSorted((a, b) => a.created_at.localeCompare(b.created_at)).at(-1) ?? null;

function followRunning(id: string, jobs: readonly JobRecord[]): void {
  const running = jobs.find((one) => one.raster === id && one.kind !== "prepare" && isRunning(one));
  if (running !== undefined) void attempt(() => working(id, async () => void (await follow(id, running))));
}

/** Make a class and label with it from now on; one that exists is only chosen. */
export function addClass(name: string): void {
  const clean = name.trim();
  if (clean === "") return;
  if (!classes.value.some((one) => one.name === clean)) {
    const colours = new Map(classMap.value?.classes.map((one) => [one.name, one.colour]));
    const colour = colours.get(clean) ?? freeClassColour(classes.value.map((one) => one.colour));
    classes.value = [...classes.value, { name: clean, colour }];
  }
  activeClass.value = clean;
}

/** Rename a class and all its labels. */
export function renameClass(old: string, name: string): Promise<void> {
  const clean = name.trim();
  if (clean === "" || clean === old) return Promise.resolve();
  const others = classes.value.filter((one) => one.name !== clean);
  batch(() => {
    classes.value = others.map((one) => (one.name === old ? { ...one, name: clean } : one));
    if (activeClass.value === old) activeClass.value = clean;
  });
  return setLabels((known) => known.map((label) => (label.class_name === old ? { ...label, class_name: clean } : label)));
}

/** Delete a class with its labels. */
export function deleteClass(name: string): Promise<void> {
  classes.value = classes.value.filter((one) => one.name !== name);
  if (activeClass.value === name) activeClass.value = classes.value[0]?.name ?? null;
  return setLabels((known) => known.filter((label) => label.class_name !== name));
}

/** Label a box with the active class. */
export async function labelBox(box: Box): Promise<void> {
  const name = activeClass.value;
  if (name === null) return notify("error", "Name a class first, then draw boxes of it.");
  await setLabels((known) => [...known, { id: "", box, class_name: name }]);
}

/** Give the selected label another class. */
export function relabel(id: string, name: string): Promise<void> {
  return setLabels((known) => known.map((label) => (label.id === id ? { ...label, class_name: name } : label)));
}

/** Delete the selected label. */
export async function deleteLabel(): Promise<void> {
  const id = selectedLabel.value;
  if (id !== null) await setLabels((known) => known.filter((label) => label.id !== id));
}

/** Bring the labels back to what they were before the last change. */
export function undoLabel(): Promise<void> {
  return changes.run(async () => {
    const before = history.undo();
    if (before !== undefined) await store(before);
  });
}

/** Store what the labels become; `change` gets them as they are when its turn has come. */
function setLabels(change: (known: LabelRecord[]) => LabelRecord[]): Promise<void> {
  return changes.run(async () => {
    const before = labels.value;
    if (await store(change(before))) history.remember(before);
    canUndoLabel.value = history.canUndo;
  });
}

async function store(next: LabelRecord[]): Promise<boolean> {
  const id = raster.value!.id;
  return attempt(async () => {
    const kept = await client.putLabels(id, next.map(({ box, class_name }) => ({ box, class_name })));
    if (raster.value?.id !== id) return;
    const active = activeClass.value;
    batch(() => {
      labels.value = kept;
      selectedLabel.value = null;
      canUndoLabel.value = history.canUndo;
      for (const label of kept) addClass(label.class_name); // undo may bring a class back
      activeClass.value = active ?? activeClass.value;
    });
  });
}

/** How a raster is cut into squares: their side and their distance in pixels, and about how many there are. */
export function planOf({ width, height }: ReadyRaster): { side: number; stride: number; squares: number } {
  const side = windowSide.value ?? usualSide();
  const fine = Math.max(Math.floor(side / CELLS_ALONG), LEAST_STRIDE);
  const count = (stride: number): number => Math.ceil(width / stride) * Math.ceil(height / stride);
  const stride = count(fine) > MANY_SQUARES ? side : fine;
  return { side, stride, squares: count(stride) };
}

/** About the side of the labels. */
function usualSide(): number {
  const sides = labels.value.map(({ box: [x0, y0, x1, y1] }) => Math.sqrt((x1 - x0) * (y1 - y0))).sort((a, b) => a - b);
  const middle = sides[Math.floor(sides.length / 2)] ?? SIDES.usual;
  return Math.min(Math.max(2 * Math.round(middle / 2), SIDES.least), SIDES.most);
}

/** Learn from the labels, then classify the raster with what was learned. */
export async function fitAndClassify(): Promise<void> {
  const opened = readyRaster.value!;
  await attempt(() => working(opened.id, async () => {
    const { side, stride } = planOf(opened);
    const fitted = await follow(opened.id, await client.fit({
      rasters: [opened.id], name: `classes of ${opened.name}`.slice(0, 200), method: method.value,
    }));
    if (fitted?.result == null || raster.value?.id !== opened.id) return;
    await follow(opened.id, await client.classify({ raster: opened.id, model: fitted.result, window: side, stride }));
  }));
}

/** Say that work on a raster is under way until it has ended. */
async function working(id: string, work: () => Promise<void>): Promise<void> {
  isWorking.value = true;
  try {
    await work();
  } finally {
    if (raster.value?.id === id) isWorking.value = false; // another raster says so for itself
  }
}

/** Follow a job to its end; show the map that it makes. Returns it if it is done. */
async function follow(id: string, started: JobRecord): Promise<JobRecord | null> {
  let state = started;
  while (raster.value?.id === id) {
    job.value = state;
    if (!isRunning(state)) break;
    await sleep(POLL_MS);
    try {
      state = await client.job(state.id);
      isOffline.value = false;
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      isOffline.value = true; // the job goes on without us
    }
  }
  if (raster.value?.id !== id || state.status !== "done") return null;
  if (state.kind === "classify" && state.result !== null) showMap(await client.oneMap(state.result));
  return state;
}

const isRunning = (state: JobRecord): boolean => state.status === "queued" || state.status === "running";

function showMap(map: MapRecord): void {
  const colours = new Map(map.classes.map((one) => [one.name, one.colour]));
  batch(() => {
    classMap.value = map;
    hiddenClasses.value = new Set();
    classes.value = classes.value.map((one) => ({ ...one, colour: colours.get(one.name) ?? one.colour }));
    job.value = null;
  });
}

/** Stop the job that is shown. */
export function cancelJob(): Promise<boolean> {
  return attempt(async () => {
    if (job.value !== null) job.value = await client.cancelJob(job.value.id);
  });
}

/** Show or hide a class of the map. */
export function toggleClass(name: string): void {
  const hidden = new Set(hiddenClasses.value);
  if (!hidden.delete(name)) hidden.add(name);
  hiddenClasses.value = hidden;
}
