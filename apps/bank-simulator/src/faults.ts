import { z } from 'zod';

/** What goes wrong with the bank's own API, when it is asked for: requests hang, connections drop, answers are 500s. */
export const FAULT = z.strictObject({
  what: z.enum(['hang', 'drop', 'error']),
  route: z.enum(['instruct', 'ask', 'statement']),
  /** Whether what was asked for has been done. */
  when: z.enum(['before', 'after']).default('before'),
  /** To so many requests. */
  times: z.int().min(1).max(1_000_000).default(1),
});

export type Fault = z.output<typeof FAULT>;
export type Route = Fault['route'];

export class Faults {
  #asked: { fault: Fault; befallen: number }[] = [];

  /** Instead of those that were asked for before. */
  set(faults: readonly Fault[]): void {
    this.#asked = faults.map((fault) => ({ fault, befallen: 0 }));
  }

  /** Each with how many requests it has befallen. */
  get all(): (Fault & { befallen: number })[] {
    return this.#asked.map(({ fault, befallen }) => ({ ...fault, befallen }));
  }

  /** What befalls the next request of a route. */
  next(route: Route): Fault | undefined {
    const next = this.#asked.find(({ fault, befallen }) => fault.route === route && befallen < fault.times);
    if (next) next.befallen += 1;
    return next?.fault;
  }
}
