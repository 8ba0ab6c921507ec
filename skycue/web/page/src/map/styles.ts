/** How boxes, masks and labels look on the map. */
import type Feature from "ol/Feature";
import type { FeatureLike } from "ol/Feature";
import Point from "ol/geom/Point";
import type Polygon from "ol/geom/Polygon";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { inkOn, withOpacity } from "../state/colours";

/** Masks: as they are, lit up, and while another one is lit up. */
const MASK_OPACITY = { plain: 0.32, lit: 0.55, dimmed: 0.1 };
const HALO = "rgba(255, 255, 255, 0.9)";
const BOX_COLOUR = "#ffd166";
const DARK = "rgba(10, 16, 24, 0.85)";
/** Too faint to be seen, enough to be hit by the mouse. */
const UNSEEN = new Fill({ color: "rgba(0, 0, 0, 0.01)" });
const FONT = "600 12px system-ui, sans-serif";

/** Names stand on the upper left corner of their box. */
const ABOVE_CORNER = { textAlign: "left", textBaseline: "bottom", offsetX: 5, offsetY: -3 } as const;

function upperLeft(feature: FeatureLike): Point {
  const [xMin, , , yMax] = ((feature as Feature).getGeometry() as Polygon).getExtent();
  return new Point([xMin!, yMax!]);
}

export type Emphasis = keyof typeof MASK_OPACITY;

/** A mask of a phrase: filled, with a white line below the coloured one so that it is seen on everything. */
export function maskStyle(colour: string, emphasis: Emphasis): Style[] {
  const width = emphasis === "lit" ? 3 : 1.75;
  const opacity = emphasis === "dimmed" ? 0.35 : 1;
  return [
    new Style({
      fill: new Fill({ color: withOpacity(colour, MASK_OPACITY[emphasis]) }),
      stroke: new Stroke({ color: emphasis === "dimmed" ? "rgba(255,255,255,0.2)" : HALO, width: width + 1.5 }),
      zIndex: emphasis === "lit" ? 3 : 2,
    }),
    new Style({
      stroke: new Stroke({ color: withOpacity(colour, opacity), width }),
      zIndex: emphasis === "lit" ? 3 : 2,
    }),
  ];
}

/** A box that was asked about. */
export function boxStyle(name: string, isChosen: boolean, isPending: boolean): Style[] {
  const dash = isPending ? [4, 6] : [8, 5];
  const zIndex = isChosen ? 6 : 4;
  const label = new Text({
    text: name,
    font: FONT,
    fill: new Fill({ color: isChosen ? "#1b1300" : "#fff" }),
    backgroundFill: new Fill({ color: isChosen ? BOX_COLOUR : DARK }),
    padding: [3, 6, 2, 6],
    ...ABOVE_CORNER,
  });
  return [
    new Style({ stroke: new Stroke({ color: DARK, width: isChosen ? 4.5 : 3.5 }), fill: UNSEEN, zIndex }),
    new Style({
      stroke: new Stroke({ color: isChosen ? BOX_COLOUR : "#fff", width: isChosen ? 2.5 : 1.5, lineDash: dash }),
      zIndex,
    }),
    new Style({ text: label, geometry: upperLeft, zIndex: zIndex + 1 }),
  ];
}

/** A box that a user gave a class. */
export function labelStyle(name: string, colour: string, isSelected: boolean): Style[] {
  const text = new Text({
    text: name,
    font: FONT,
    fill: new Fill({ color: inkOn(colour) }),
    backgroundFill: new Fill({ color: withOpacity(colour, 0.95) }),
    padding: [3, 6, 2, 6],
    ...ABOVE_CORNER,
  });
  return [
    new Style({ stroke: new Stroke({ color: isSelected ? "#fff" : DARK, width: isSelected ? 6 : 4 }), zIndex: 4 }),
    new Style({
      fill: new Fill({ color: withOpacity(colour, isSelected ? 0.3 : 0.12) }),
      stroke: new Stroke({ color: colour, width: 2.5 }),
      zIndex: 5,
    }),
    new Style({ text, geometry: upperLeft, zIndex: isSelected ? 7 : 6 }),
  ];
}

/** The corners and the rectangle while a box is drawn by keyboard. */
export const drawingStyle = [
  new Style({ stroke: new Stroke({ color: DARK, width: 4 }), zIndex: 8 }),
  new Style({
    stroke: new Stroke({ color: BOX_COLOUR, width: 2 }),
    fill: new Fill({ color: "rgba(255, 209, 102, 0.15)" }),
    zIndex: 8,
  }),
];
