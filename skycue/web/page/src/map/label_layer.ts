/** Boxes that the user gave a class, on the map. */
import { effect } from "@preact/signals";
import Feature, { type FeatureLike } from "ol/Feature";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import type Style from "ol/style/Style";
import type { LabelRecord } from "../api/records";
import { classes, labels, panel, selectedLabel } from "../state/store";
import { ringOf } from "./pixel_grid";
import { labelStyle } from "./styles";

const LABEL = "label";
const UNKNOWN_COLOUR = "#7f7f7f";

/** Make the layer of labels; it follows what the store holds. */
export function labelLayer(): VectorLayer {
  const source = new VectorSource({ wrapX: false });
  const layer = new VectorLayer({ source, style: styleOf, zIndex: 21, updateWhileInteracting: true });
  effect(() => {
    source.clear(true);
    source.addFeatures(
      labels.value.map((label) => {
        const feature = new Feature(new Polygon([ringOf(label.box)]));
        feature.set(LABEL, label, true);
        return feature;
      }),
    );
  });
  effect(() => {
    void [selectedLabel.value, classes.value];
    layer.setVisible(panel.value === "classify");
    layer.changed();
  });
  return layer;
}

/** The label that a feature stands for, or null. */
export function labelOf(feature: FeatureLike | undefined): LabelRecord | null {
  return (feature?.get(LABEL) as LabelRecord | undefined) ?? null;
}

function styleOf(feature: FeatureLike): Style[] {
  const label = labelOf(feature);
  if (label === null) return [];
  const colour = classes.value.find(({ name }) => name === label.class_name)?.colour ?? UNKNOWN_COLOUR;
  return labelStyle(label.class_name, colour, label.id === selectedLabel.value);
}
