/** States that can be taken back, oldest first. */

const MAX_STATES = 200;

export class History<T> {
  private past: T[] = [];

  /** Remember a state before it changes. */
  remember(state: T): void {
    this.past.push(state);
    if (this.past.length > MAX_STATES) this.past.shift();
  }

  /** Whether there is a state to go back to. */
  get canUndo(): boolean {
    return this.past.length > 0;
  }

  /** Return the last remembered state and forget it. */
  undo(): T | undefined {
    return this.past.pop();
  }

  /** Forget all. */
  clear(): void {
    this.past = [];
  }
}
