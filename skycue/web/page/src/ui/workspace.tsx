/** The second screen: the map of a raster, its tools, and the panels. */
import { useEffect, useRef } from "preact/hooks";
import { ground, inDegrees } from "../map/ground";
import { fit, mount, pointer, resolution, spoken, zoom } from "../map/map_view";
import { close } from "../state/opening";
import { activeClass, job, panel, pending, raster, tool, type Panel } from "../state/store";
import { Button, IconButton } from "./button";
import { ClassifyPanel } from "./classify_panel";
import { DescribePanel } from "./describe_panel";
import { Words } from "./words";

const PANELS: readonly (readonly [Panel, string])[] = [
  ["describe", "Describe"],
  ["classify", "Classify"],
];
const PREPARING = "Large rasters get overviews once, so that every zoom is quick.";
/** Screen pixels of the scale bar at most. */
const BAR_PIXELS = 120;

/** Map and panels. */
export function Workspace() {
  return (
    <main class="workspace">
      <MapArea />
      <aside class="panel" aria-label="Panel">
        <Tabs />
        <div class="tab-panel" role="tabpanel" id="panel" aria-labelledby={`tab-${panel.value}`}>
          {panel.value === "describe" ? <DescribePanel /> : <ClassifyPanel />}
        </div>
      </aside>
    </main>
  );
}

function MapArea() {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => mount(element.current!), []);
  return (
    <section class="map-area">
      <div
        ref={element}
        class="map"
        tabIndex={0}
        role="application"
        aria-label={`Map of ${raster.value?.name ?? ""}. Press B to draw a box, question mark for all keys.`}
      />
      <Toolbar />
      <Status />
      <Preparing />
    </section>
  );
}

function Toolbar() {
  return (
    <div class="toolbar" role="toolbar" aria-label="Map tools" aria-orientation="vertical">
      <IconButton icon="pan" label="Move the map" keys="V" pressed={tool.value === "pan"} onClick={() => (tool.value = "pan")} />
      <IconButton icon="box" label="Draw boxes" keys="B" pressed={tool.value === "box"} onClick={() => (tool.value = "box")} />
      <hr />
      <IconButton icon="plus" label="Zoom in" keys="+" onClick={() => zoom(1)} />
      <IconButton icon="minus" label="Zoom out" keys="-" onClick={() => zoom(-1)} />
      <IconButton icon="fit" label="Show the whole raster" keys="0" onClick={fit} />
    </div>
  );
}

function Status() {
  const [at, place] = [pointer.value, ground.value];
  const isDescribing = panel.value === "describe";
  const hint = isDescribing ? "Drag a box" : `Drag a box of ${activeClass.value ?? "a class"}`;
  const busy = isDescribing && pending.value.some(({ isStopped }) => !isStopped) ? "Looking at the box …" : "";
  return (
    <div class="status">
      <span aria-live="polite">{spoken.value || busy || (tool.value === "box" ? hint : "")}</span>
      <span class="status-right">
        {place !== null && <span class="numbers">{inDegrees(place)}</span>}
        {at !== null && <span class="numbers">x {Math.floor(at[0])} y {Math.floor(at[1])}</span>}
        <span class="numbers">{Math.round(100 / resolution.value)} %</span>
        <ScaleBar />
      </span>
    </div>
  );
}

/** A bar of a round length: metres where the raster has a place on the ground, else its pixels. */
function ScaleBar() {
  const gsd = raster.value?.gsd_m ?? null;
  const unit = resolution.value * (gsd ?? 1);
  const most = unit * BAR_PIXELS;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((step) => step * power).find((value) => value <= most) ?? power;
  const text = gsd === null ? `${length} px` : length >= 1000 ? `${length / 1000} km` : `${Number(length.toPrecision(3))} m`;
  return <span class="scale-bar" style={{ width: `${length / unit}px` }}>{text}</span>;
}

function Preparing() {
  const record = raster.value;
  if (record === null || record.status === "ready") return null;
  const isFailed = record.status === "failed";
  return (
    <div class="preparing">
      <div class="card" role={isFailed ? "alert" : "status"}>
        <h2>{isFailed ? `${record.name} cannot be opened` : `Preparing ${record.name}`}</h2>
        <p><Words text={isFailed ? (record.error ?? "The server gave no reason.") : PREPARING} /></p>
        {isFailed ? <Button onClick={close}>Choose another file</Button>
          : <progress max={1} value={job.value?.kind === "prepare" ? job.value.progress : undefined} aria-label="Preparing" />}
      </div>
    </div>
  );
}

function Tabs() {
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    panel.value = panel.value === "describe" ? "classify" : "describe";
    document.getElementById(`tab-${panel.value}`)?.focus();
    event.preventDefault();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Panels" onKeyDown={onKeyDown}>
      {PANELS.map(([name, text]) => (
        <button
          key={name}
          id={`tab-${name}`}
          type="button"
          role="tab"
          aria-selected={panel.value === name}
          aria-controls="panel"
          tabIndex={panel.value === name ? 0 : -1}
          onClick={() => (panel.value = name)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
