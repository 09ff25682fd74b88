import type { Fault } from './faults.js';
import { countSorts, type Hit } from './report.js';
import type { Outcome } from './run.js';

interface World {
  readonly seconds: number;
  readonly rounds: number;
  readonly hit: Hit;
  readonly outcome: Outcome;
}

type Name = Exclude<keyof Hit, 'faults' | 'kinds' | 'counted'>;

/** All worlds of a campaign together: figures of one are of all its rounds. */
export class Totals {
  readonly #worlds = new Map<unknown, World>();
  #offences = 0;
  #healthyAfterMs = 0;
  #appliedAfterMs = 0;

  /** After each round of a world. */
  add(world: unknown, now: World): void {
    this.#worlds.set(world, now);
    this.#offences += now.outcome.offences.length;
    this.#healthyAfterMs = Math.max(this.#healthyAfterMs, now.outcome.healthyAfterMs);
    this.#appliedAfterMs = Math.max(this.#appliedAfterMs, now.outcome.appliedAfterMs);
  }

  get seconds(): number {
    return this.#sum(({ seconds }) => seconds);
  }

  get faults(): readonly Fault[] {
    return [...this.#worlds.values()].flatMap(({ hit }) => hit.faults);
  }

  get kinds(): ReadonlyMap<string, number> {
    return this.#added((hit) => hit.kinds);
  }

  /** By name: all that a campaign must have met. */
  get counts(): ReadonlyMap<string, number> {
    const first = [...this.#worlds.values()][0]?.hit;
    const names = Object.keys(first ?? {}).filter((name) => typeof first?.[name as Name] === 'number') as Name[];
    const own = names.map((name) => [name, this.#sum(({ hit }) => hit[name])] as const);
    return new Map([...own, ...this.#added((hit) => new Map(Object.entries(hit.counted)))]);
  }

  text(): string {
    const rounds = this.#sum((world) => world.rounds);
    const excused = this.#sum(({ outcome }) => outcome.verdict.excused.length);
    return [
      `ALL SO FAR: ${rounds} rounds in ${this.#worlds.size} worlds, ${(this.seconds / 60).toFixed(1)} minutes of harm: offences ${this.#offences}`,
      `faults ${this.faults.length}: ${listed(countSorts(this.faults))}`,
      `${listed(this.counts)}; reads excused (X2) ${excused}`,
      `in the ledger: ${listed(this.kinds)}`,
      `healthy ${(this.#healthyAfterMs / 1_000).toFixed(1)} s after a last fault, all applied, followed and sent after ${(this.#appliedAfterMs / 1_000).toFixed(1)} s, at most`,
    ].join('\n');
  }

  #sum(of: (world: World) => number): number {
    return this.#worlds.values().reduce((sum, world) => sum + of(world), 0);
  }

  #added(of: (hit: Hit) => ReadonlyMap<string, number>): Map<string, number> {
    const sums = new Map<string, number>();
    for (const { hit } of this.#worlds.values())
      for (const [name, count] of of(hit)) sums.set(name, (sums.get(name) ?? 0) + count);
    return sums;
  }
}

const listed = (groups: ReadonlyMap<string, number>): string =>
  [...groups].map(([name, number]) => `${name} ${number}`).join(', ');
