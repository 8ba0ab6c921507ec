/** Boxes and the masks of their phrases on the map; hovering one lights up its words. */
import { effect } from "@preact/signals";
import Feature, { type FeatureLike } from "ol/Feature";
import MultiPolygon from "ol/geom/MultiPolygon";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import type Style from "ol/style/Style";
import type { AnswerRecord, PhraseView } from "../api/records";
import { phraseColour } from "../state/colours";
import { answerName, answers, hovered, panel, pending, selection, type Target } from "../state/store";
import { flip, ringOf } from "./pixel_grid";
import { boxStyle, maskStyle, type Emphasis } from "./styles";

/** What a feature stands for; the box of an answer has no phrase. */
const TARGET = "target";
const PENDING = "pending";

/** Make the layer of answers; it follows what the store holds. */
export function answerLayer(): VectorLayer {
  const source = new VectorSource({ wrapX: false });
  const layer = new VectorLayer({ source, style: styleOf, zIndex: 20, updateWhileInteracting: true });
  effect(() => {
    source.clear(true);
    source.addFeatures([...answers.value.flatMap(featuresOf), ...pending.value.map(({ box }) => {
      const feature = new Feature(new Polygon([ringOf(box)]));
      feature.set(PENDING, true, true);
      return feature;
    })]);
  });
  effect(() => {
    void [hovered.value, selection.value];
    layer.setVisible(panel.value === "describe");
    layer.changed();
  });
  return layer;
}

/** What lies under a feature of the layer, or null. */
export function targetOf(feature: FeatureLike | undefined): Target | null {
  return (feature?.get(TARGET) as Target | undefined) ?? null;
}

function featuresOf(answer: AnswerRecord): Feature[] {
  const box = new Feature(new Polygon([ringOf(answer.box)]));
  box.set(TARGET, { answer: answer.id, phrase: null }, true);
  const masks = answer.phrases.flatMap((phrase: PhraseView, index) => {
    if (phrase.outline.length === 0) return [];
    const mask = new Feature(new MultiPolygon(phrase.outline.map((polygon) => polygon.map((ring) => ring.map(flip)))));
    mask.set(TARGET, { answer: answer.id, phrase: index }, true);
    return [mask];
  });
  return [box, ...masks];
}

function styleOf(feature: FeatureLike): Style[] {
  const target = targetOf(feature);
  if (target === null) return feature.get(PENDING) ? boxStyle("…", true, true) : [];
  const isChosen = selection.value.includes(target.answer);
  if (target.phrase === null) {
    const answer = answers.value.find(({ id }) => id === target.answer);
    return answer === undefined ? [] : boxStyle(answerName(answer), isChosen, false);
  }
  const emphasis = emphasisOf(target, isChosen);
  return emphasis === null ? [] : maskStyle(phraseColour(target.phrase), emphasis);
}

/** Masks are shown of the chosen answers; those of others are faint, so that many boxes can be read. */
function emphasisOf(target: Target, isChosen: boolean): Emphasis | null {
  const over = hovered.value;
  if (over !== null && over.phrase !== null && over.answer === target.answer) {
    return over.phrase === target.phrase ? "lit" : "dimmed";
  }
  return isChosen || selection.value.length === 0 ? "plain" : "dimmed";
}
