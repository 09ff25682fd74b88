import { setTimeout as sleep } from 'node:timers/promises';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { Plan } from './plan.js';
import { findPlans } from './plan-store.js';

/** In one look-up, of which there is one at a time. */
const AT_ONCE = 1_000;
const TIMEOUT_MS = 2_000;
/** Between two, so that merchants that are heard of one after another are looked up together. */
const PAUSE_MS = 20;

export type Found = (merchantId: bigint, plan: Plan | undefined, atMs: number) => void;

/** Looks the plans of merchants up, behind their requests. */
export class Plans {
  readonly #wanted = new Set<bigint>();
  #looking: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    private readonly found: Found,
  ) {}

  want(merchantId: bigint): void {
    this.#wanted.add(merchantId);
    this.#looking ??= this.#look();
  }

  async close(): Promise<void> {
    this.#wanted.clear();
    await this.#looking;
  }

  /** What cannot be looked up now is wanted again by the next request. */
  async #look(): Promise<void> {
    while (this.#wanted.size > 0) {
      const merchantIds = [...this.#wanted].slice(0, AT_ONCE);
      const atMs = performance.now();
      try {
        const plans = await findPlans(this.database, merchantIds, Deadline.after(TIMEOUT_MS));
        for (const merchantId of merchantIds) this.found(merchantId, plans.get(merchantId), atMs);
      } catch {
        // The last known ones, or those of everybody, stand meanwhile.
      }
      for (const merchantId of merchantIds) this.#wanted.delete(merchantId);
      await sleep(PAUSE_MS);
    }
    this.#looking = undefined;
  }
}
