/** The second panel: own classes, labelled boxes, a classifier learned from them, and its map. */
import { download, mapFile, type MapFormat } from "../api/client";
import { cancelJob, fitAndClassify, MIN_CLASSES, squareSide } from "../state/classifying";
import { attempt } from "../state/notices";
import { classMap, job, labels, method, raster, serverView, windowSide } from "../state/store";
import { Button } from "./button";
import { ClassList } from "./class_list";
import { stem } from "./describe_panel";
import { Downloads } from "./downloads";
import { Legend } from "./legend";

const FORMATS: readonly { format: MapFormat; name: string; suffix: string; needsPlace: boolean }[] = [
  { format: "cog", name: "GeoTIFF", suffix: "tif", needsPlace: false },
  { format: "geojson", name: "GeoJSON", suffix: "geojson", needsPlace: true },
  { format: "gpkg", name: "GeoPackage", suffix: "gpkg", needsPlace: true },
  { format: "parquet", name: "GeoParquet", suffix: "parquet", needsPlace: true },
  { format: "png", name: "PNG", suffix: "png", needsPlace: false },
];
const METHODS: Readonly<Record<string, string>> = {
  "linear-probe": "Linear probe: quick, good with many labels",
  "zero-shot": "Zero-shot: from the names alone",
  coop: "CoOp: learns prompts, takes minutes",
  cocoop: "CoCoOp: learns prompts, takes minutes",
  bimors: "BiMoRS: learns prompts, takes minutes",
};
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
  const isBusy = job.value !== null && (job.value.status === "queued" || job.value.status === "running");
  return (
    <section class="card" aria-label="Learning">
      <div class="settings">
        <label>
          <span>Method</span>
          <select value={method.value} onChange={(event) => (method.value = event.currentTarget.value)}>
            {(serverView.value?.methods ?? ["linear-probe"]).map((name) => (
              <option key={name} value={name}>{METHODS[name] ?? name}</option>
            ))}
          </select>
        </label>
        <label>
          <span>Squares</span>
          <select
            value={windowSide.value ?? ""}
            onChange={(event) => (windowSide.value = Number(event.currentTarget.value) || null)}
          >
            <option value="">As large as the labels ({squareSide()} pixels)</option>
            {SIDES.map((side) => <option key={side} value={side}>{side} pixels</option>)}
          </select>
        </label>
      </div>
      {isBusy ? <Progress /> : (
        <Button kind="primary" icon="spark" disabled={missing > 0} onClick={() => void fitAndClassify()}>
          {classMap.value === null ? "Fit" : "Fit again"}
        </Button>
      )}
      {missing > 0 && !isBusy && (
        <p class="fine">Label boxes of at least two classes; a few of each are enough to begin.</p>
      )}
      <Outcome />
    </section>
  );
}

function Progress() {
  const { progress, message, kind, status } = job.value!;
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
    return <p class="trouble" role="alert">{state.error?.message ?? "The work failed and gave no reason."}</p>;
  }
  return state?.status === "cancelled" ? <p class="fine" role="status">Stopped. The labels are kept.</p> : null;
}
