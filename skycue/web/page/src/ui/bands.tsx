/** Which bands of a raster of many are shown as red, green and blue. */
import { useSignal } from "@preact/signals";
import type { RasterRecord } from "../api/records";
import { showBands } from "../state/opening";

const COLOURS = ["Red", "Green", "Blue"] as const;

/** Whether a raster has more bands than colours. */
export const hasMoreBands = ({ band_names }: RasterRecord): boolean =>
  band_names.filter((name) => name !== "alpha").length > COLOURS.length;

/** Three choices; the same band in all of them is shown grey. */
export function Bands({ record }: { record: RasterRecord }) {
  const asked = useSignal<number[] | null>(null);
  const known = record.shown_bands ?? [1, 2, 3];
  const shown = asked.value ?? COLOURS.map((_, index) => known[index] ?? known[0]!);
  const choose = async (colour: number, band: number): Promise<void> => {
    asked.value = shown.map((old, index) => (index === colour ? band : old));
    await showBands(record, asked.value);
    asked.value = null;
  };
  return (
    <fieldset class="bands" disabled={asked.value !== null} aria-busy={asked.value !== null}>
      <legend>Bands shown</legend>
      {COLOURS.map((name, colour) => (
        <label key={name} title={`Band shown as ${name.toLowerCase()}`}>
          <i class={`band-colour is-${name.toLowerCase()}`} aria-hidden="true" />
          <select
            aria-label={`Band shown as ${name.toLowerCase()}`}
            value={shown[colour]}
            onChange={(event) => void choose(colour, Number(event.currentTarget.value))}
          >
            {record.band_names.map((text, index) => (
              <option key={index} value={index + 1}>{text === "" ? index + 1 : `${index + 1} ${text}`}</option>
            ))}
          </select>
        </label>
      ))}
    </fieldset>
  );
}
