/** Colours of phrases and classes. */

/** Those of `skycue/region_drawing.py`, so that the page and the downloaded picture agree. */
const PHRASES = [
  "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e36f00",
  "#0097a7", "#c2188a", "#8c564b", "#5d7a00", "#3f3fbf",
];
/** Of classes before a map says its own; told apart by people who see red and green alike too. */
const CLASSES = [
  "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
  "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f",
];

/** The colour of a phrase by its place in the caption. */
export const phraseColour = (index: number): string => PHRASES[index % PHRASES.length]!;

/** The first colour that none of the given classes has. */
export function freeClassColour(taken: readonly string[]): string {
  return CLASSES.find((colour) => !taken.includes(colour)) ?? CLASSES[taken.length % CLASSES.length]!;
}

/** Black or white, whichever is read better on a colour. */
export function inkOn(colour: string): string {
  const [red, green, blue] = channelsOf(colour);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#10161e" : "#ffffff"; // luma of ITU-R BT.601
}

/** A colour with an opacity, as CSS has it. */
export function withOpacity(colour: string, opacity: number): string {
  const [red, green, blue] = channelsOf(colour);
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}

function channelsOf(colour: string): [number, number, number] {
  return [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16)) as [number, number, number];
}
