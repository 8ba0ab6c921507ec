/** Light and dark: as the system has it until the user chooses. */
import { effect, signal } from "@preact/signals";

type Theme = "light" | "dark";
const KEY = "skycue.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

const chosen = signal<Theme | null>(localStorage.getItem(KEY) as Theme | null);
const ofSystem = signal<Theme>(system.matches ? "dark" : "light");
system.addEventListener("change", () => (ofSystem.value = system.matches ? "dark" : "light"));

/** The theme that is shown. */
export const theme = (): Theme => chosen.value ?? ofSystem.value;

/** Change to the other theme, and remember it. */
export function toggleTheme(): void {
  chosen.value = theme() === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, chosen.value);
}

effect(() => void (document.documentElement.dataset.theme = theme()));
