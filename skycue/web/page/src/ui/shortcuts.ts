/** Keys that work everywhere on the page, but not while something is typed. */
import { signal } from "@preact/signals";
import { fit, focusMap, spoken, zoom } from "../map/map_view";
import { deleteLabel, undoLabel } from "../state/classifying";
import { chooseNext, deleteChosen, mergeChosen, undoEdit } from "../state/describing";
import { activeClass, classes, panel, raster, selectedLabel, selection, tool } from "../state/store";

/** Whether the list of keys is shown. */
export const isHelpShown = signal(false);

/** What the dialog lists; the keys of `onKey`, and those of the map while boxes are drawn. */
export const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ["B", "Draw boxes; then arrow keys and Enter draw without a mouse, or drag"],
  ["V or Escape", "Move the map"],
  ["Shift + drag", "Draw a box at any time"],
  ["+ and −", "Zoom; so does the wheel"],
  ["0", "Show the whole raster"],
  ["] and [", "Next and previous box"],
  ["Tab, ← and →", "From phrase to phrase of a caption, lighting up its mask"],
  ["F2", "Rename the box, in the list"],
  ["Delete", "Delete the chosen boxes or the chosen label"],
  ["M", "Merge the chosen boxes"],
  ["Ctrl + Z", "Undo"],
  ["1 to 9", "Choose a class to label with"],
  ["D and C", "The panels: describe, classify"],
  ["?", "This list"],
];

const isDescribing = (): boolean => panel.value === "describe";

const ACTIONS: Readonly<Record<string, () => void>> = {
  b: () => {
    tool.value = "box";
    spoken.value = "Drag over the map, or use the arrow keys and Enter.";
    focusMap();
  },
  v: () => (tool.value = "pan"),
  Escape: () => {
    if (tool.value === "pan") selection.value = [];
    tool.value = "pan";
    spoken.value = "";
  },
  "+": () => zoom(1),
  "=": () => zoom(1),
  "-": () => zoom(-1),
  "0": () => fit(),
  "]": () => chooseNext(1),
  "[": () => chooseNext(-1),
  m: () => void (isDescribing() && mergeChosen()),
  Delete: () => void (isDescribing() ? deleteChosen() : deleteLabel()),
  Backspace: () => void (isDescribing() ? deleteChosen() : selectedLabel.value !== null && deleteLabel()),
  d: () => (panel.value = "describe"),
  c: () => (panel.value = "classify"),
};

/** Do what a key stands for. */
export function onKey(event: KeyboardEvent): void {
  if (event.key === "?" && !isTyping(event)) isHelpShown.value = true;
  if (raster.value === null || isTyping(event) || event.altKey) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key.toLowerCase() === "z" && !event.shiftKey) {
    void (isDescribing() ? undoEdit() : undoLabel());
    return event.preventDefault();
  }
  if (isCommand) return;
  const digit = Number(event.key);
  if (!isDescribing() && digit >= 1 && digit <= 9) {
    activeClass.value = classes.value[digit - 1]?.name ?? activeClass.value;
    return;
  }
  const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action === undefined) return;
  action();
  event.preventDefault();
}

function isTyping(event: KeyboardEvent): boolean {
  const { target } = event;
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog") !== null || target.isContentEditable) return true;
  return target instanceof HTMLInputElement
    ? !["checkbox", "range", "button"].includes(target.type)
    : target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
