import { BlockList, isIPv6 } from 'node:net';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { exposed, type Family, type Format, type Labels, numeral, type Sample } from './exposition.js';
import type { Histogram } from './histogram.js';

export type { Labels } from './exposition.js';

/** One, or one for each set of labels; labels are bounded, never ids. */
export type Reading<T = number> = T | Iterable<readonly [Labels, T]>;

/** How often, and how many seconds in all. */
export interface Seconds {
  readonly count: number;
  readonly seconds: number;
}

/**
 * What a process tells Prometheus. Nothing is counted here: each metric is a reading of what its owner counts anyway, taken
 * when somebody asks. What Node tells of itself is prom-client's.
 */
export class Metrics {
  readonly #node = new Registry();
  readonly #families = new Map<string, Omit<Family, 'samples'> & { samples: () => Iterable<Sample> }>();

  constructor() {
    collectDefaultMetrics({ register: this.#node });
  }

  /** `read` answers what was counted since the process began; it never falls. */
  counter(name: string, help: string, read: () => Reading): void {
    if (!name.endsWith('_total')) throw new Error(`${name}: a counter ends in _total`);
    this.#add('counter', name, help, () => each(read(), single));
  }

  gauge(name: string, help: string, read: () => Reading): void {
    this.#add('gauge', name, help, () => each(read(), single));
  }

  histogram(name: string, help: string, read: () => Reading<Histogram>): void {
    this.#add('histogram', name, help, () => each(read(), bucketsOf));
  }

  /** As `name_count` and `name_sum`. */
  summary(name: string, help: string, read: () => Reading<Seconds>): void {
    this.#add('summary', name, help, () =>
      each(read(), (labels, { count, seconds }) => [
        { suffix: '_count', labels, value: count },
        { suffix: '_sum', labels, value: seconds },
      ]),
    );
  }

  /** As of now. */
  async text(format: Format = 'text'): Promise<string> {
    const ofNode = (await this.#node.getMetricsAsJSON()) as unknown as NodeMetric[];
    const own = [...this.#families.values()].map((family) => ({ ...family, samples: family.samples() }));
    return exposed([...ofNode.map(nodeFamily), ...own], format);
  }

  #add(type: string, name: string, help: string, samples: () => Iterable<Sample>): void {
    if (this.#families.has(name)) throw new Error(`there are two metrics named ${name}`);
    this.#families.set(name, { name, help, type, samples });
  }
}

/** As prom-client has them. */
interface NodeMetric extends Omit<Family, 'samples'> {
  values: readonly { labels: Labels; value: number; metricName?: string }[];
}

function nodeFamily({ values, ...family }: NodeMetric): Family {
  const samples = values.map(({ labels, value, metricName = family.name }) => ({
    suffix: metricName.slice(family.name.length),
    labels,
    value,
  }));
  return { ...family, samples };
}

function* each<T extends object | number>(
  reading: Reading<T>,
  samplesOf: (labels: Labels, one: T) => Iterable<Sample>,
): Generator<Sample> {
  if (!isIterable(reading)) return yield* samplesOf({}, reading);
  for (const [labels, one] of reading) yield* samplesOf(labels, one);
}

function isIterable<T>(reading: Reading<T>): reading is Iterable<readonly [Labels, T]> {
  return typeof reading === 'object' && reading !== null && Symbol.iterator in reading;
}

function single(labels: Labels, value: number): Sample[] {
  return [{ suffix: '', labels, value }];
}

function* bucketsOf(labels: Labels, histogram: Histogram): Generator<Sample> {
  let count = 0;
  for (const bucket of histogram.buckets()) {
    count = bucket.count;
    // OpenMetrics writes a bound as it does a float: 1.0.
    const le = Number.isInteger(bucket.upTo) ? bucket.upTo.toFixed(1) : numeral(bucket.upTo);
    yield { suffix: '_bucket', labels: { ...labels, le }, value: count, exemplar: bucket.exemplar };
  }
  yield { suffix: '_count', labels, value: count };
  yield { suffix: '_sum', labels, value: histogram.sum };
}

/** A record as readings under one label: `{hits: 2}` → `{kind="hits"} 2`. */
export function labelled<T>(label: string, record: Readonly<Record<string, T>>): [Labels, T][] {
  return Object.entries(record).map(([value, one]) => [{ [label]: value }, one]);
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
