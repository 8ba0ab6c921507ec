/** The first screen: a place to drop files, and the rasters that the server has. */
import { useRef } from "preact/hooks";
import type { RasterRecord } from "../api/records";
import { addFiles, deleteRaster, discardUpload, fileSize, open } from "../state/opening";
import { rasters, serverView, unfinished, uploads } from "../state/store";
import { Button, IconButton } from "./button";
import { Icon } from "./icons";
import { Thumbnail } from "./thumbnail";

/** What the server reads; what a name promises is checked there, in the file itself. */
const ACCEPTED = ".tif,.tiff,.jpg,.jpeg,.png,image/tiff,image/jpeg,image/png";

/** Rasters to open and a way to add more. */
export function Library() {
  const all = rasters.value;
  return (
    <main class="library">
      <div class="library-inner">
        <h1>Draw a box. Read what is there.</h1>
        <p class="lead">
          Open an aerial or satellite image: captions whose phrases own masks, and maps of your own classes learned from a
          few labelled boxes.
        </p>
        <DropZone />
        {uploads.value.map((upload) => (
          <div key={upload.name} class="upload" role="status">
            <span class="upload-name">{upload.name}</span>
            <span class="fine">{upload.isBroken ? "The connection was lost. Trying again …" : `${Math.round(upload.part * 100)} %`}</span>
            <progress max={1} value={upload.part} aria-label={`Sending ${upload.name}`} />
            <IconButton icon="close" label={`Stop sending ${upload.name}`} onClick={upload.cancel} />
          </div>
        ))}
        {unfinished.value.map(({ id, name, part }) => (
          <div key={id} class="upload">
            <span class="upload-name">{name}</span>
            <span class="fine">{Math.round(part * 100)} % are on the server: choose the file again to go on.</span>
            <progress max={1} value={part} aria-label={`Sent of ${name}`} />
            <IconButton icon="close" label={`Discard what was sent of ${name}`} onClick={() => discardUpload(id)} />
          </div>
        ))}
        {all.length > 0 && (
          <section>
            <h2>On this server</h2>
            <ul class="rasters">{all.map((record) => <RasterRow key={record.id} record={record} />)}</ul>
          </section>
        )}
        <Room />
      </div>
    </main>
  );
}

function DropZone() {
  const field = useRef<HTMLInputElement>(null);
  return (
    <div class="drop-zone">
      <Icon name="upload" />
      <p><strong>Drop a GeoTIFF, JPEG or PNG here</strong></p>
      <Button kind="primary" onClick={() => field.current?.click()}>Choose a file</Button>
      <input
        ref={field}
        type="file"
        accept={ACCEPTED}
        multiple
        hidden
        aria-label="Files to open"
        onChange={(event) => {
          const files = [...(event.currentTarget.files ?? [])];
          event.currentTarget.value = "";
          void addFiles(files);
        }}
      />
    </div>
  );
}

function RasterRow({ record }: { record: RasterRecord }) {
  return (
    <li class="raster-row">
      <button type="button" class="raster-open" onClick={() => void open(record)}>
        <Thumbnail record={record} />
        <span class="row-text">
          <strong>{record.name}</strong>
          <span class="fine">{factsOf(record)}</span>
        </span>
        {record.is_shared && <span class="tag">shared</span>}
        {record.status !== "ready" && <span class={`tag is-${record.status}`}>{record.status}</span>}
      </button>
      {!record.is_shared && (
        <IconButton
          icon="remove"
          label={`Delete ${record.name}`}
          onClick={() => {
            if (confirm(`Delete ${record.name} with its boxes, labels and maps? This cannot be undone.`)) void deleteRaster(record);
          }}
        />
      )}
    </li>
  );
}

function Room() {
  const view = serverView.value;
  if (view === null) return null;
  const { limits, used_bytes: used } = view;
  return (
    <p class="fine">
      {fileSize(used)} of {fileSize(limits.quota_bytes)} in use; files of up to {fileSize(limits.max_upload_bytes)}. Region
      model {view.region_model}, Skycue {view.version}.
    </p>
  );
}

/** The facts of a raster in one line. */
export function factsOf({ width, height, bands, dtype, crs, gsd_m }: RasterRecord): string {
  if (width === null || height === null) return "";
  const size = `${width.toLocaleString("en")} × ${height.toLocaleString("en")}`;
  const pixels = gsd_m === null ? null : `${gsd_m < 10 ? Number(gsd_m.toPrecision(2)) : Math.round(gsd_m)} m a pixel`;
  return [size, `${bands} ${bands === 1 ? "band" : "bands"} ${dtype}`, crs ?? "no CRS", pixels].filter(Boolean).join(" · ");
}
