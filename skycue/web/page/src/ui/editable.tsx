/** A name that can be changed where it stands. */
import { useLayoutEffect, useRef } from "preact/hooks";

interface EditableProps {
  value: string;
  label: string;
  onDone: (value: string | null) => void;
}

/** A field over a name: Enter or leaving it keeps what was written, Escape does not. */
export function Editable({ value, label, onDone }: EditableProps) {
  const field = useRef<HTMLInputElement>(null);
  const isDone = useRef(false);
  const done = (result: string | null): void => {
    if (isDone.current) return;
    isDone.current = true;
    onDone(result);
  };
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  return (
    <input
      ref={field}
      class="editable"
      value={value}
      maxLength={200}
      aria-label={label}
      onClick={(event) => event.stopPropagation()}
      onBlur={(event) => done(event.currentTarget.value)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") done(event.currentTarget.value);
        if (event.key === "Escape") done(null);
      }}
    />
  );
}
