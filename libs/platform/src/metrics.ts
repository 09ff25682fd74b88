import { BlockList, isIPv6 } from 'node:net';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export type Labels = Readonly<Record<string, string>>;
/** One number, or one for each set of labels; labels are bounded, never ids. */
export type Reading = number | Iterable<readonly [Labels, number]>;

/**
 * What a process tells Prometheus. Nothing is counted here: each metric is a reading of what its owner counts anyway, taken
 * when somebody asks.
 */
export class Metrics {
  readonly #registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** `read` answers what was counted since the process began; it never falls. */
  counter(name: string, help: string, read: () => Reading, labelNames: string[] = []): void {
    new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of each(read())) this.inc(labels, value);
      },
    });
  }

  gauge(name: string, help: string, read: () => Reading, labelNames: string[] = []): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of each(read())) this.set(labels, value);
      },
    });
  }

  /** The exposition format, as of now. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function each(reading: Reading): Iterable<readonly [Labels, number]> {
  return typeof reading === 'number' ? [[{}, reading]] : reading;
}

/** A record of counts as readings under one label: `{hits: 2}` → `{kind="hits"} 2`. */
export function labelled(label: string, counts: Readonly<Record<string, number>>): [Labels, number][] {
  return Object.entries(counts).map(([value, count]) => [{ [label]: value }, count]);
}

/** METRICS_ALLOW. Its addresses are the peers' own: what a header claims is never looked at, but for being there. */
export class ScrapeGate {
  readonly #allowed = new BlockList();

  constructor(addresses: readonly string[]) {
    for (const address of addresses) this.#allowed.addAddress(address, familyOf(address));
  }

  /** A proxy on this machine has our own address; whom it forwards is a stranger. */
  admits(peer: string | undefined, headers: Readonly<Record<string, unknown>>): boolean {
    if (peer === undefined || headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined) return false;
    const address = peer.replace(/^::ffff:(?=\d+\.)/i, '');
    return this.#allowed.check(address, familyOf(address));
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}
