/** The map: the raster in its pixels, boxes and masks over it, and what the mouse does there. */
import { effect, signal } from "@preact/signals";
import DragBox from "ol/interaction/DragBox";
import DragPan from "ol/interaction/DragPan";
import KeyboardPan from "ol/interaction/KeyboardPan";
import { defaults as defaultInteractions } from "ol/interaction/defaults";
import { shiftKeyOnly } from "ol/events/condition";
import TileLayer from "ol/layer/Tile";
import OlMap from "ol/Map";
import type TileImage from "ol/source/TileImage";
import View from "ol/View";
import { bandsQuery } from "../api/client";
import type { Box, Position, ReadyRaster } from "../api/records";
import { choose, describeBox } from "../state/describing";
import { labelBox } from "../state/classifying";
import { hovered, panel, readyRaster, returns, selectedLabel, tool } from "../state/store";
import { answerLayer, targetOf } from "./answer_layer";
import { classLayer } from "./class_layer";
import { KeyboardBox } from "./keyboard_box";
import { labelLayer, labelOf } from "./label_layer";
import { boxBetween, extentOf, flip, projectionOf } from "./pixel_grid";
import { tileSource } from "./tiles";

/** Screen pixels around a raster that fits the window, and around features when hovering. */
const MARGIN = 32;
const HIT_TOLERANCE = 3;
/** A raster's pixel is at most this many screen pixels wide. */
const MAX_MAGNIFICATION = 32;
const ANIMATION_MS = 220;
const prefersStill = matchMedia("(prefers-reduced-motion: reduce)");

/** Where the mouse is, in pixels of the raster; null outside of it. */
export const pointer = signal<Position | null>(null);
/** Pixels of the raster for each pixel of the screen. */
export const resolution = signal(1);
/** What the next key does while a box is drawn, said by screen readers too. */
export const spoken = signal("");

const boxLayer = answerLayer();
const classBoxes = labelLayer();
const backdrop = new TileLayer<TileImage>({ preload: 2, zIndex: 0 });
const dragPan = new DragPan();
const dragBox = new DragBox({
  className: "drawn-box",
  condition: (event) => readyRaster.value !== null && (tool.value === "box" || shiftKeyOnly(event)),
});
const map = new OlMap({
  controls: [],
  layers: [backdrop, classLayer(), boxLayer, classBoxes],
  interactions: defaultInteractions({ dragPan: false, shiftDragZoom: false, altShiftDragRotate: false, pinchRotate: false })
    .extend([dragBox, dragPan]),
});
const keyboardBox = new KeyboardBox(map, () => readyRaster.value, (text) => (spoken.value = text), finishBox);

/** Put the map into an element, once. */
export function mount(element: HTMLElement): void {
  map.setTarget(element);
  dragBox.on("boxend", () => {
    const [x0, y0, x1, y1] = dragBox.getGeometry().getExtent() as Box;
    const record = readyRaster.value;
    const box = record && boxBetween(flip([x0, y0]), flip([x1, y1]), record);
    if (box) finishBox(box);
  });
  map.on("pointermove", (event) => {
    pointer.value = event.dragging ? null : inside(flip(event.coordinate));
    if (!event.dragging) hover(event.pixel);
  });
  element.addEventListener("pointerleave", () => {
    pointer.value = null;
    hovered.value = null;
  });
  map.on("singleclick", (event) => click(event.pixel, event.originalEvent as PointerEvent));
  map.on("loadstart", () => target().setAttribute("aria-busy", "true"));
  map.on("loadend", () => target().setAttribute("aria-busy", "false"));
  map.on("postrender", () => (resolution.value = map.getView().getResolution() ?? 1));
  element.addEventListener("keydown", (event) => {
    if (tool.value === "box" && !event.ctrlKey && !event.metaKey && keyboardBox.press(event)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }, { capture: true });
  effect(followTool);
  effect(showRaster);
}

/** The element that the map is mounted in; there is one whenever these functions are called. */
const target = (): HTMLElement => map.getTargetElement()!;

function followTool(): void {
  const isBox = tool.value === "box";
  dragPan.setActive(!isBox);
  for (const interaction of map.getInteractions().getArray()) {
    if (interaction instanceof KeyboardPan) interaction.setActive(!isBox);
  }
  target().classList.toggle("is-drawing", isBox);
  if (!isBox) keyboardBox.stop();
}

let shownId: string | null = null;
let shownQuery = "";
let shownReturns = 0;

function showRaster(): void {
  const record = readyRaster.value;
  const id = record?.id ?? null;
  const isNew = id !== shownId;
  const query = record === null ? "" : bandsQuery(record);
  if (!isNew && query === shownQuery && returns.value === shownReturns) return;
  [shownId, shownQuery, shownReturns] = [id, query, returns.value];
  if (isNew) keyboardBox.stop();
  if (record === null || id === null) return backdrop.setSource(null);
  // a new source after the line was mended: `refresh` keeps tiles that failed if it is the first call
  backdrop.setSource(tileSource(record, `rasters/${encodeURIComponent(id)}`, query, false));
  if (!isNew) return;
  map.setView(viewOf(record));
  fitBox([0, 0, record.width, record.height], 0, 0);
}

function viewOf(record: ReadyRaster): View {
  const extent = extentOf([0, 0, record.width, record.height]);
  return new View({
    projection: projectionOf(record),
    extent,
    constrainOnlyCenter: true,
    enableRotation: false,
    center: [record.width / 2, -record.height / 2],
    minResolution: 1 / MAX_MAGNIFICATION,
    maxResolution: Math.max(record.width, record.height) / 64,
    resolution: Math.max(record.width, record.height) / 512,
  });
}

/** Show the whole raster. */
export function fit(): void {
  const record = readyRaster.value;
  if (record !== null) fitBox([0, 0, record.width, record.height], 0);
}

/**
 * Bring a box into sight.
 *
 * @param part how much of its sides is shown around it.
 * @param duration of the flight there, in milliseconds.
 */
export function fitBox([x0, y0, x1, y1]: Box, part = 1, duration = flight()): void {
  const [dx, dy] = [(x1 - x0) * part, (y1 - y0) * part];
  map.getView().fit(extentOf([x0 - dx, y0 - dy, x1 + dx, y1 + dy]), {
    padding: [MARGIN, MARGIN, MARGIN + 24, MARGIN],
    duration,
  });
}

/** Zoom by steps: positive ones magnify. */
export function zoom(steps: number): void {
  map.getView().animate({ resolution: resolution.value / 2 ** steps, duration: flight() });
}

/** Give the map the keys. */
export function focusMap(): void {
  target().focus();
}

const flight = (): number => (prefersStill.matches ? 0 : ANIMATION_MS);

function inside([x, y]: Position): Position | null {
  const record = readyRaster.value;
  if (record === null) return null;
  return x >= 0 && y >= 0 && x < record.width && y < record.height ? [x, y] : null;
}

function finishBox(box: Box): void {
  spoken.value = "";
  void (panel.value === "describe" ? describeBox(box) : labelBox(box));
}

function hover(pixel: number[]): void {
  if (panel.value !== "describe") return;
  const over = targetOf(featureAt(pixel));
  const isSame = over?.answer === hovered.value?.answer && over?.phrase === hovered.value?.phrase;
  if (!isSame) hovered.value = over;
  target().classList.toggle("is-over", over !== null);
}

function click(pixel: number[], event: PointerEvent): void {
  const feature = featureAt(pixel);
  if (panel.value === "describe") {
    const clicked = targetOf(feature);
    if (clicked !== null) choose(clicked.answer, event.ctrlKey || event.metaKey || event.shiftKey);
  } else selectedLabel.value = labelOf(feature)?.id ?? null;
}

/** The smallest thing below the mouse: masks lie in boxes, and small masks in large ones. */
function featureAt(pixel: number[]) {
  const layerFilter = (layer: unknown): boolean => layer === boxLayer || layer === classBoxes;
  const found = map.getFeaturesAtPixel(pixel, { layerFilter, hitTolerance: HIT_TOLERANCE });
  return found.toSorted((a, b) => size(a) - size(b))[0];
}

function size(feature: { getGeometry(): unknown }): number {
  const geometry = feature.getGeometry() as { getArea?: () => number } | undefined;
  return geometry?.getArea?.() ?? Infinity;
}
