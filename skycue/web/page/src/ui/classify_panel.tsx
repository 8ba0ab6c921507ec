/** The second panel: own classes, labelled boxes, a classifier learned from them, and its map. */
import { download, mapFile, type MapFormat } from "../api/client";
import { cancelJob, fitAndClassify, MIN_CLASSES, planOf } from "../state/classifying";
import { attempt } from "../state/notices";
import { classMap, isWorking, job, labels, method, raster, readyRaster, serverView, windowSide } from "../state/store";
import { Button } from "./button";
import { ClassList } from "./class_list";
import { stem } from "./describe_panel";
import { Downloads } from "./downloads";
import { Legend } from "./legend";
import { Words } from "./words";

const FORMATS: readonly { format: MapFormat; name: string; suffix: string; needsPlace: boolean }[] = [
  { format: "cog", name: "GeoTIFF", suffix: "tif", needsPlace: false },
  { format: "geojson", name: "GeoJSON", suffix: "geojson", needsPlace: true },
  { format: "gpkg", name: "GeoPackage", suffix: "gpkg", needsPlace: true },
  { format: "parquet", name: "GeoParquet", suffix: "parquet", needsPlace: true },
  { format: "png", name: "PNG", suffix: "png", needsPlace: false },
];
/** Of the methods that the page offers; the API knows more. */
const NAMES: Readonly<Record<string, string>> = {
  "linear-probe": "Linear probe",
  "zero-shot": "Zero-shot",
  coop: "CoOp",
  cocoop: "CoCoOp",
  bimors: "BiMoRS",
  maple: "MaPLe",
  promptsrc: "PromptSRC",
};
const REMARKS: Readonly<Record<string, string>> = {
  "linear-probe": "Learns in seconds from the labels alone; best where there are many.",
  "zero-shot": "Goes by the names of the classes; labels only tell which there are.",
  coop: "Learns the words around the names; takes minutes.",
  cocoop: "As CoOp, with words that depend on the image; takes many minutes.",
  bimors: "Learns words from captions of the labelled boxes too; takes many minutes.",
  maple: "Learns tokens for the words and the image together; takes minutes.",
  promptsrc: "As MaPLe, and keeps near what was known before; takes many minutes.",
};
/** Of a job that the server has not answered for yet. */
const STARTING = { progress: 0, message: "", kind: "fit", status: "queued" };
const SIDES = [16, 32, 64, 128, 256, 512];

/** Labels, the classifier and its map. */
export function ClassifyPanel() {
  const map = classMap.value;
  return (
    <>
      <div class="panel-body">
        <ClassList />
        <Learning />
        {map !== null && <Legend map={map} />}
      </div>
      <Downloads
        formats={FORMATS}
        isEmpty={map === null}
        onDownload={(format, suffix) => {
          const { name } = raster.value!;
          void attempt(() => download(mapFile(map!.id, format), `${stem(name)}_classes.${suffix}`));
        }}
      />
    </>
  );
}

function Learning() {
  const named = new Set(labels.value.map((label) => label.class_name)).size;
  const missing = MIN_CLASSES - named;
  const isBusy = isWorking.value;
  return (
    <section class="card" aria-label="Learning">
      {isBusy ? <Progress /> : (
        <Button kind="primary" icon="spark" disabled={missing > 0} onClick={() => void fitAndClassify()}>
          {classMap.value === null ? "Fit" : "Fit again"}
        </Button>
      )}
      {missing > 0 && !isBusy && (
        <p class="fine">Label boxes of at least two classes; a few of each are enough to begin.</p>
      )}
      <Outcome />
      <Settings />
    </section>
  );
}

function Settings() {
  const record = readyRaster.value;
  if (record === null) return null;
  const { side, squares } = planOf(record);
  return (
    <details>
      <summary class="fine">
        {NAMES[method.value] ?? method.value}, about {squares.toLocaleString("en")} squares of {side} pixels
      </summary>
      <div class="settings">
        <label>
          <span>Method</span>
          <select value={method.value} onChange={(event) => (method.value = event.currentTarget.value)}>
            {(serverView.value?.methods ?? ["linear-probe"]).filter((name) => name in NAMES).map((name) => (
              <option key={name} value={name}>{NAMES[name] ?? name}</option>
            ))}
          </select>
        </label>
        <p class="fine">{REMARKS[method.value]}</p>
        <label>
          <span>Squares</span>
          <select
            value={windowSide.value ?? ""}
            onChange={(event) => (windowSide.value = Number(event.currentTarget.value) || null)}
          >
            <option value="">As large as the labels</option>
            {SIDES.map((side) => <option key={side} value={side}>{side} pixels</option>)}
          </select>
        </label>
        <p class="fine">The raster is cut into squares; each gets one class.</p>
      </div>
    </details>
  );
}

function Progress() {
  const { progress, message, kind, status } = job.value ?? STARTING;
  const what = kind === "fit" ? "Learning" : "Classifying";
  return (
    <div class="progress" role="status">
      <div class="progress-head">
        <span>{status === "queued" ? "Waiting for its turn" : what}</span>
        <span class="fine">{message}</span>
      </div>
      <progress max={1} value={status === "queued" ? undefined : progress} aria-label={what} />
      <Button onClick={() => void cancelJob()}>Stop</Button>
    </div>
  );
}

function Outcome() {
  const state = job.value;
  if (state?.status === "failed") {
    return <p class="trouble" role="alert"><Words text={state.error?.message ?? "The work failed and gave no reason."} /></p>;
  }
  return state?.status === "cancelled" ? <p class="fine" role="status">Stopped. The labels are kept.</p> : null;
}
