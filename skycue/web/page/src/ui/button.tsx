/** Buttons. */
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icons";

interface IconButtonProps {
  icon: IconName;
  label: string;
  keys?: string;
  onClick: () => void;
  disabled?: boolean;
  pressed?: boolean;
  class?: string;
}

/** A button that is an icon; its label is read out, and shown with its key when the mouse rests. */
export function IconButton({ icon, label, keys, onClick, disabled, pressed, class: extra }: IconButtonProps) {
  return (
    <button
      type="button"
      class={`icon-button ${extra ?? ""}`}
      title={keys ? `${label} (${keys})` : label}
      aria-label={label}
      aria-keyshortcuts={keys}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={(event) => {
        event.stopPropagation();
        onClick();
      }}
    >
      <Icon name={icon} />
    </button>
  );
}

interface ButtonProps {
  icon?: IconName;
  children: ComponentChildren;
  onClick: () => void;
  disabled?: boolean;
  kind?: "primary" | "plain" | "quiet";
  title?: string | undefined;
}

/** A button with words. */
export function Button({ icon, children, onClick, disabled, kind = "plain", title }: ButtonProps) {
  return (
    <button type="button" class={`button ${kind}`} onClick={onClick} disabled={disabled} title={title}>
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </button>
  );
}
