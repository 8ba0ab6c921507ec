/** The user's own classes with their labels; the active one is what new boxes are labelled as. */
import { useSignal } from "@preact/signals";
import { addClass, deleteClass, deleteLabel, relabel, renameClass, undoLabel } from "../state/classifying";
import { activeClass, canUndoLabel, classes, labels, selectedLabel, tool, type LabelClass } from "../state/store";
import { Button, IconButton } from "./button";
import { Editable } from "./editable";

/** Classes that a digit chooses. */
const WITH_KEYS = 9;

/** The list of classes. */
export function ClassList() {
  const name = useSignal("");
  const add = (event: Event): void => {
    event.preventDefault();
    addClass(name.value);
    name.value = "";
  };
  const isEmpty = activeClass.value !== null && !labels.value.some((label) => label.class_name === activeClass.value);
  return (
    <section class="card" aria-label="Classes">
      <header class="section-head">
        <h3>Your classes</h3>
        <div class="actions">
          <IconButton icon="undo" label="Undo" keys="Ctrl+Z" disabled={!canUndoLabel.value} onClick={() => void undoLabel()} />
        </div>
      </header>
      {classes.value.length === 0 && (
        <p>Name what you want to tell apart, such as “roof” and “field”, then draw boxes of each.</p>
      )}
      <ul class="classes">
        {classes.value.map((one, index) => <ClassRow key={one.name} one={one} index={index} />)}
      </ul>
      <form class="add-class" onSubmit={add}>
        <input
          value={name.value}
          maxLength={200}
          placeholder="New class, such as quay"
          aria-label="Name of a new class"
          onInput={(event) => (name.value = event.currentTarget.value)}
        />
        <button type="submit" class="button plain" disabled={name.value.trim() === ""}>Add</button>
      </form>
      {isEmpty && tool.value !== "box" && (
        <Button icon="box" onClick={() => (tool.value = "box")}>Draw boxes of {activeClass.value}</Button>
      )}
      <ChosenLabel />
    </section>
  );
}

function ClassRow({ one, index }: { one: LabelClass; index: number }) {
  const renaming = useSignal(false);
  const count = labels.value.filter((label) => label.class_name === one.name).length;
  if (renaming.value) {
    return (
      <li class="class-row">
        <Editable
          value={one.name}
          label={`New name of ${one.name}`}
          onDone={(value) => {
            renaming.value = false;
            if (value !== null) void renameClass(one.name, value);
          }}
        />
      </li>
    );
  }
  return (
    <li class="class-row">
      <button
        type="button"
        class="class-choice"
        aria-pressed={activeClass.value === one.name}
        onClick={() => (activeClass.value = one.name)}
      >
        <i class="legend-colour" style={{ background: one.colour }} aria-hidden="true" />
        <span class="class-name">{one.name}</span>
        {index < WITH_KEYS && <kbd>{index + 1}</kbd>}
        <span class="count" title="Labelled boxes">{count}</span>
      </button>
      <IconButton icon="rename" label={`Rename ${one.name}`} onClick={() => (renaming.value = true)} />
      <IconButton icon="remove" label={`Delete ${one.name} and its labels`} onClick={() => void deleteClass(one.name)} />
    </li>
  );
}

function ChosenLabel() {
  const label = labels.value.find(({ id }) => id === selectedLabel.value);
  if (label === undefined) return null;
  return (
    <div class="chosen-label">
      <label>
        <span>This box is</span>
        <select value={label.class_name} onChange={(event) => void relabel(label.id, event.currentTarget.value)}>
          {classes.value.map(({ name }) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      <IconButton icon="remove" label="Delete this label" keys="Delete" onClick={() => void deleteLabel()} />
    </div>
  );
}
