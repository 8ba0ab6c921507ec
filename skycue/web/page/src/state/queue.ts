/** Changes of one thing go to the server one after the other, in the order in which they were made. */

export class Queue {
  private last: Promise<unknown> = Promise.resolve();

  /** Run work when all that was given before has ended, well or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.last.then(work, work);
    this.last = mine;
    return mine;
  }
}
