import { setTimeout as sleep } from 'node:timers/promises';
import { type Cut, type Dice, type Interval, now } from './history.js';
import { onCache, onDatabase, onLog, onProcesses, onQueue } from './kinds.js';
import { cacheState } from './servers.js';
import type { Slot } from './slot.js';
import type { World } from './world.js';

export type Sort = 'kill' | 'pause' | 'network' | 'resource' | 'deploy' | 'clock' | 'other';

export interface Kind {
  readonly kind: string;
  readonly sort: Sort;
  /** Does harm until it resolves; then all is mended, and everything that was killed is there again. */
  strike(dice: Dice): Promise<unknown>;
}

export interface Fault extends Interval {
  readonly kind: string;
  readonly sort: Sort;
  /** Requests that had no answer yet when it struck. */
  readonly inFlight: number;
}

interface Hand {
  readonly kinds: readonly Kind[];
  readonly gap: { readonly low: number; readonly high: number };
}

const WATCH_MS = 50;
/** Longer than a request waits, and a TTL. */
const BEFORE_MS = 6_000;

/** Hands that do harm at once: to the processes, to PostgreSQL, to each role of Redis, and to the order of the log. */
export class Faults {
  readonly done: Fault[] = [];
  readonly wrong: string[] = [];
  /** When an API may have been cut off from a Redis that the other one reached. */
  readonly cut: Cut[] = [];
  readonly #world: World;
  readonly #inFlight: () => number;
  #watching: Promise<void>[] = [];
  #stopped = false;

  constructor(world: World, inFlight: () => number) {
    this.#world = world;
    this.#inFlight = inFlight;
  }

  /** Until `stop`; then everything runs again. `dice` for each hand: what one draws does not depend on how far another one is. */
  async run(dice: (hand: number) => Dice): Promise<void> {
    this.#stopped = false;
    const world = this.#world;
    const whileCut: WhileCut = (cause, apis, fault) => this.#whileCut(cause, apis, fault);
    const hands: Hand[] = [
      { kinds: onProcesses(world), gap: { low: 300, high: 1_500 } },
      { kinds: onDatabase(world), gap: { low: 1_500, high: 4_500 } },
      { kinds: onCache(world, whileCut), gap: { low: 800, high: 2_500 } },
      { kinds: onQueue(world), gap: { low: 1_000, high: 4_000 } },
      { kinds: onLog(world), gap: { low: 1_500, high: 4_000 } },
    ];
    await Promise.all(hands.map((hand, number) => this.#hand(dice(number), hand)));
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Every kind comes before one comes twice, and the first one soon. */
  async #hand(dice: Dice, { kinds, gap }: Hand): Promise<void> {
    let [least, most] = [0, gap.low];
    while (!this.#stopped) {
      for (const { kind, sort, strike } of dice.shuffled(kinds)) {
        const until = now() + dice.between(least, most);
        [least, most] = [gap.low, gap.high];
        while (now() < until && !this.#stopped) await sleep(WATCH_MS);
        if (this.#stopped) return;
        const [from, inFlight] = [now(), this.#inFlight()];
        try {
          await strike(dice);
        } catch (error) {
          this.wrong.push(`${kind}: ${error instanceof Error ? error.message : error}`);
        }
        this.done.push({ kind, sort, from, to: now(), inFlight });
      }
    }
  }

  /** These APIs lose and find Redis one by one. */
  async #whileCut(cause: string, apis: readonly Slot[], fault: () => Promise<unknown>): Promise<void> {
    const from = now();
    const over = fault();
    this.#watching.push(...apis.map((api) => this.#watch(api, { cause, from, over })));
    await over;
  }

  /**
   * X2 holds from the fault until the API uses Redis again, and for one TTL more: what it told nobody has expired then. An
   * API that is paused or dead writes and reads nothing meanwhile; one that is told to stop answers what it has, to its end.
   */
  async #watch(
    api: Slot,
    { cause, from, over }: { cause: string; from: number; over: Promise<unknown> },
  ): Promise<void> {
    let open: { from: number; to: number; cause: string } | undefined;
    const close = () => {
      if (open) open.to = now() + this.#world.ttlMs;
      open = undefined;
    };
    const isOver = over.then(
      () => true,
      () => true,
    );
    for (let [times, since] = [0, from]; times < 2; since = now()) {
      if (api.paused || !api.lives) {
        close();
      } else {
        if (!open) {
          open = { from: since, to: Number.POSITIVE_INFINITY, cause };
          this.cut.push(open);
        }
        const ended = await Promise.race([isOver, sleep(0, false)]);
        const isBack = ended && api.url !== undefined && (await cacheState(api.url)) === 'ok';
        times = isBack && !api.paused ? times + 1 : 0;
      }
      await sleep(WATCH_MS);
    }
    close();
  }

  /** What was done, when APIs may have been without a Redis that others reached, and which were ended, shortly before `at`. */
  before(at: number): string[] {
    const told = (what: string, { from, to }: Interval) => `${what} [${from.toFixed(0)}, ${to.toFixed(0)}]`;
    const near = ({ from, to }: Interval) => from <= at && to >= at - BEFORE_MS;
    return [
      ...this.done.filter(near).map((fault) => told(fault.kind, fault)),
      ...this.cut.filter(near).map((cut) => told(`X2, ${cut.cause}`, cut)),
      ...this.#world.apis.flatMap(({ endings }) =>
        endings.filter(near).map((end) => told(`${end.name} ${end.signal}`, end)),
      ),
    ];
  }

  /** Resolves when every API uses Redis again. */
  async recovered(): Promise<void> {
    await Promise.all(this.#watching.splice(0));
  }
}

export type WhileCut = (cause: string, apis: readonly Slot[], fault: () => Promise<unknown>) => Promise<void>;
