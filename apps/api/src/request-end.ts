/**
 * When a request is over: its answer has gone, or its client, and its route does nothing for it any more. A client that goes away
 * ends nothing that is under way, so that what a request takes of its merchant's is taken until then.
 */
export class RequestEnd {
  #isClosed = false;
  #isServed = false;
  #isOver = false;
  readonly #callbacks: (() => void)[] = [];

  /** Calls back once, which is now where it is over already. */
  onOver(callback: () => void): void {
    if (this.#isOver) callback();
    else this.#callbacks.push(callback);
  }

  /** Its route is entered. */
  serve(): void {
    this.#isServed = true;
  }

  /** Its route has come to an answer. */
  served(): void {
    this.#isServed = false;
    this.#look();
  }

  /** Its answer has gone, or its client. */
  close(): void {
    this.#isClosed = true;
    this.#look();
  }

  #look(): void {
    if (this.#isOver || this.#isServed || !this.#isClosed) return;
    this.#isOver = true;
    for (const callback of this.#callbacks.splice(0)) callback();
  }
}
