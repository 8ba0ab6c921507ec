/** The page: the bar above, and below it the library or the map of a raster. */
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { dismiss } from "../state/notices";
import { look } from "../state/line";
import { addFiles, close } from "../state/opening";
import { isOffline, notices, raster } from "../state/store";
import { Bands, hasMoreBands } from "./bands";
import { Button, IconButton } from "./button";
import { HelpDialog, TokenDialog } from "./dialogs";
import { factsOf, Library } from "./library";
import { isHelpShown, onKey } from "./shortcuts";
import { theme, toggleTheme } from "./theme";
import { Words } from "./words";
import { Workspace } from "./workspace";

/** The whole page. */
export function Page() {
  const isOver = useSignal(false);
  useEffect(() => {
    const over = (event: DragEvent): void => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      isOver.value = true;
    };
    const drop = (event: DragEvent): void => {
      event.preventDefault();
      isOver.value = false;
      void addFiles([...(event.dataTransfer?.files ?? [])]);
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) isOver.value = false;
    };
    document.addEventListener("keydown", onKey);
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", leave);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("dragover", over);
      document.removeEventListener("dragleave", leave);
      document.removeEventListener("drop", drop);
    };
  }, []);
  return (
    <div class={`page ${isOver.value ? "is-over" : ""}`}>
      <TopBar />
      {isOffline.value && <Offline />}
      {raster.value === null ? <Library /> : <Workspace />}
      <Notices />
      <HelpDialog />
      <TokenDialog />
    </div>
  );
}

function TopBar() {
  const record = raster.value;
  const isDark = theme() === "dark";
  return (
    <header class="top-bar">
      <a class="brand" href="#" onClick={(event) => { event.preventDefault(); close(); }} aria-label="Skycue: all rasters">
        <img src="icon.svg" alt="" width={28} height={28} />
        <span>Skycue</span>
      </a>
      {record !== null && (
        <div class="opened">
          <IconButton icon="back" label="All rasters" onClick={close} />
          <span class="row-text">
            <strong title={record.name}>{record.name}</strong>
            {record.status === "ready" && <span class="fine">{factsOf(record)}</span>}
          </span>
          {hasMoreBands(record) && <Bands key={record.id} record={record} />}
        </div>
      )}
      <div class="actions">
        <IconButton icon="help" label="Keys and help" keys="?" onClick={() => (isHelpShown.value = true)} />
        <IconButton icon={isDark ? "sun" : "moon"} label={isDark ? "Light" : "Dark"} onClick={toggleTheme} />
      </div>
    </header>
  );
}

function Offline() {
  return (
    <div class="offline" role="alert">
      <span>
        The server does not answer. What it has finished is kept. The page looks for it every two seconds and goes on when it
        is back; a change or download that was under way may have to be made again.
      </span>
      <Button kind="quiet" onClick={() => void look()}>Try now</Button>
    </div>
  );
}

function Notices() {
  return (
    <div class="notices">
      {notices.value.map(({ id, kind, text }) => (
        <div key={id} class={`notice is-${kind}`} role={kind === "error" ? "alert" : "status"}>
          <span><Words text={text} /></span>
          <IconButton icon="close" label="Close this message" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}
