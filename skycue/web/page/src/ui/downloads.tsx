/** Files to take away. */
import { raster } from "../state/store";
import { Icon } from "./icons";

interface Format<F extends string> {
  format: F;
  name: string;
  suffix: string;
  needsPlace: boolean;
}

interface DownloadsProps<F extends string> {
  formats: readonly Format<F>[];
  isEmpty: boolean;
  onDownload: (format: F, suffix: string) => void;
}

/** A button for each format; those of maps need a raster that has a place on the ground. */
export function Downloads<F extends string>({ formats, isEmpty, onDownload }: DownloadsProps<F>) {
  const hasPlace = raster.value?.crs != null;
  return (
    <footer class="downloads" aria-label="Download">
      <Icon name="download" />
      {formats.map(({ format, name, suffix, needsPlace }) => {
        const isMissing = needsPlace && !hasPlace;
        return (
          <button
            key={format}
            type="button"
            class="chip"
            disabled={isEmpty || isMissing}
            title={isMissing ? "This image has no place on the ground, so it cannot go on a map." : `Download as ${name}`}
            onClick={() => onDownload(format, suffix)}
          >
            {name}
          </button>
        );
      })}
    </footer>
  );
}
