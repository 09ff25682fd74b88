import { z } from 'zod';

/** What goes wrong with the bank's own API, when it is asked for: requests hang, connections drop, answers are 500s. */
export const FAULT = z.strictObject({
  what: z.enum(['hang', 'drop', 'error']),
  route: z.enum(['instruct', 'ask', 'statement']),
  /** Whether what was asked for has been done. */
  when: z.enum(['before', 'after']).default('before'),
  /** To so many requests. */
  times: z.int().min(1).max(1_000_000).default(1),
  /** After so many of each instruction that it does not befall. */
  spares: z.int().min(0).max(1_000_000).default(0),
});

export type Fault = z.output<typeof FAULT>;
export type Route = Fault['route'];

class Asked {
  readonly befallen: string[] = [];
  readonly #spared = new Map<string, number>();

  constructor(readonly fault: Fault) {}

  befalls(route: Route, name: string): boolean {
    if (route !== this.fault.route || this.befallen.length >= this.fault.times) return false;
    const spared = this.#spared.get(name) ?? 0;
    if (spared < this.fault.spares) {
      this.#spared.set(name, spared + 1);
      return false;
    }
    this.befallen.push(name);
    return true;
  }
}

export class Faults {
  #asked: Asked[] = [];

  /** Instead of those that were asked for before. */
  set(faults: readonly Fault[]): void {
    this.#asked = faults.map((fault) => new Asked(fault));
  }

  /** Each with what its requests were about. */
  get all(): (Fault & { befallen: readonly string[] })[] {
    return this.#asked.map(({ fault, befallen }) => ({ ...fault, befallen }));
  }

  /** What befalls a request about an instruction, or a day. */
  next(route: Route, name: string): Fault | undefined {
    return this.#asked.find((asked) => asked.befalls(route, name))?.fault;
  }
}
