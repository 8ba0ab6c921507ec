/** Dialogs: the list of keys, and the token of servers that want one. */
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { setToken } from "../api/http";
import { start } from "../state/opening";
import { wantsToken } from "../state/store";
import { IconButton } from "./button";
import { isHelpShown, KEYS } from "./shortcuts";

/** What the keys do. */
export function HelpDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isHelpShown.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isHelpShown.value]);
  return (
    <dialog ref={dialog} class="dialog" aria-label="Keys" onClose={() => (isHelpShown.value = false)}>
      <header class="card-head">
        <h2>Keys</h2>
        <IconButton icon="close" label="Close" onClick={() => (isHelpShown.value = false)} />
      </header>
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt><kbd>{keys}</kbd></dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="fine">
        Everything runs on your own server; the page fetches nothing from elsewhere.{" "}
        <a href="LICENCES.txt" target="_blank" rel="noopener">Licences of its parts</a>
      </p>
    </dialog>
  );
}

/** Ask for the token. */
export function TokenDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const token = useSignal("");
  useEffect(() => {
    if (wantsToken.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [wantsToken.value]);
  const submit = (event: Event): void => {
    event.preventDefault();
    setToken(token.value.trim());
    token.value = "";
    wantsToken.value = false;
    void start();
  };
  return (
    <dialog ref={dialog} class="dialog" aria-label="Token" onCancel={(event) => event.preventDefault()}>
      <h2>This server wants a token</h2>
      <p>Whoever started it has one for you. It is kept until this tab is closed.</p>
      <form class="add-class" onSubmit={submit}>
        <input
          type="password"
          autocomplete="current-password"
          aria-label="Token"
          value={token.value}
          onInput={(event) => (token.value = event.currentTarget.value)}
        />
        <button type="submit" class="button primary" disabled={token.value.trim() === ""}>Go on</button>
      </form>
    </dialog>
  );
}
