import { type Asking, Charge, type Charged } from './charge.js';

/** What every request of a key is charged by, in one place. */
export class Limits {
  readonly #listeners: ((charged: Charged) => void)[] = [];

  /** Calls back with each request of a key, at its end. Of a refused one, too. */
  onCharged(listener: (charged: Charged) => void): void {
    this.#listeners.push(listener);
  }

  /** The request begins: end its charge when its answer has gone. */
  begin(asking: Asking): Charge {
    return new Charge(asking, (charged) => {
      for (const listener of this.#listeners) listener(charged);
    });
  }
}
