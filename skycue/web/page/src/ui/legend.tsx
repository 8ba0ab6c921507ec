/** The legend of the classified raster: colours, a switch for each class, and the opacity. */
import type { MapRecord } from "../api/records";
import { addClass, toggleClass } from "../state/classifying";
import { hiddenClasses, mapOpacity, tool } from "../state/store";
import { Button } from "./button";
import { Icon } from "./icons";

/** The legend of a map. */
export function Legend({ map }: { map: MapRecord }) {
  const [height, width] = map.size;
  const percent = Math.round(mapOpacity.value * 100);
  return (
    <section class="card" aria-label="Legend">
      <header class="section-head">
        <h3>Map</h3>
        <span class="fine">{width} × {height} cells{map.n_skipped > 0 ? `, ${map.n_skipped} squares without data` : ""}</span>
      </header>
      <ul class="legend">
        {map.classes.map(({ name, colour }) => {
          const isShown = !hiddenClasses.value.has(name);
          return (
            <li key={name}>
              <button type="button" role="switch" aria-checked={isShown} class="legend-row" onClick={() => toggleClass(name)}>
                <i class="legend-colour" style={{ background: colour }} aria-hidden="true" />
                <span>{name}</span>
                <Icon name={isShown ? "eye" : "hidden"} />
              </button>
            </li>
          );
        })}
      </ul>
      <label class="slider">
        <span>Opacity</span>
        <input
          type="range"
          min={0}
          max={100}
          step={5}
          value={percent}
          onInput={(event) => (mapOpacity.value = Number(event.currentTarget.value) / 100)}
        />
        <output>{percent} %</output>
      </label>
      <div class="correct">
        <p>Wrong somewhere? Choose the right class, draw a box there, and fit again: corrections become labels.</p>
        <div class="chips">
          {map.classes.map(({ name, colour }) => (
            <Button key={name} kind="quiet" onClick={() => { addClass(name); tool.value = "box"; }}>
              <i class="legend-colour" style={{ background: colour }} /> This is {name}
            </Button>
          ))}
        </div>
      </div>
    </section>
  );
}
