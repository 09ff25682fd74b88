import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { type Asked, Dice, EXCUSABLE, type History, type Move, now, type Posting } from './history.js';
import { exchange } from './http.js';
import { isMove, originOf } from './oracle.js';
import type { Slot } from './slot.js';

export interface Account {
  readonly id: string;
  readonly code: string;
}

export interface Tenant {
  readonly merchant: string;
  readonly key: string;
  /** A few of them get most of the traffic. */
  readonly hot: readonly Account[];
  readonly cold: readonly Account[];
  /** Clients only read these: settlements and payouts post to them. */
  readonly watched: readonly Account[];
  /** Of the cold ones, those that must never have less than nothing. */
  readonly floored: ReadonlySet<string>;
}

export interface Counts {
  readsFailed: number;
  postingsSent: number;
  retries: number;
  timeouts: number;
  brokenConnections: number;
  /** Answers other than success, by status. */
  refusals: Map<number, number>;
  /** Answers that no fault explains. */
  unexpected: string[];
  /** Postings of which an answer was lost, or said that nobody knows; and those of them that had been made nevertheless. */
  ambiguous: number;
  ambiguousAndDone: number;
  /** Reads of another tenant's account: each must find nothing. */
  foreign: number;
}

/** A client gives up after one of these: before, within and after every deadline and pause. */
const PATIENCE_MS = [700, 2_500, 6_000];
const WRITES = 0.25;
/** Of the reads. */
const WATCHED = 0.2;
const TRIES = 12;
const PAUSE_MS = 30;
const BACKOFF_MS = 250;
/** Requests that may hang at one API while the other is asked. */
const HANGING = 6;
const REPEATED = 0.05;
/** Of what is written. */
const BATCHES = 0.08;
const BATCH = { least: 2, most: 8 };
const FOREIGN = 0.01;
/** What says that nobody knows, and not that nothing was done. */
const NOBODY_KNOWS = new Set([503, 504]);
/** Of what is written a third holds, and a third moves what is held or posted. */
const HOLDS = 0.33;
const MOVES = 0.66;
/** Of the holds; the others last until somebody ends them. */
const EXPIRE = 0.4;
const EXPIRES_MS = { low: 1_500, high: 4_000 };
/** Moves choose among the last so many, so that several clients meet on one. */
const RECENT = 25;
/** Answers that tell what became of a move: nothing. */
const REFUSALS = new Set(['not_pending', 'already_reversed', 'amount_exceeds_remaining']);
/** Of anything that moves money out of an account with a floor. */
const POOR = 'insufficient_funds';

type Answer = { status: number; body: Json; replayed: boolean; api: string; invokedAt: number; completedAt: number };
// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into at will.
type Json = any;

/** Everybody who uses the service during a run, through HTTP alone. */
export class Clients {
  readonly counts: Counts = {
    readsFailed: 0,
    postingsSent: 0,
    retries: 0,
    timeouts: 0,
    brokenConnections: 0,
    refusals: new Map(),
    unexpected: [],
    ambiguous: 0,
    ambiguousAndDone: 0,
    foreign: 0,
  };
  readonly #history: History;
  readonly #apis: readonly Slot[];
  readonly #tenants: readonly Tenant[];
  #seed: number;
  readonly #hanging = new Map<Slot, number>();
  /** The greatest version that anybody was told, for `min_version`. */
  readonly #known = new Map<string, number>();
  readonly #owners = new Map<string, Tenant>();
  readonly #acknowledgedKeys = new Set<string>();
  readonly #unsettled = new Set<string>();
  /** Under which a transfer of a batch was sent. */
  readonly #batchOf = new Map<string, string>();
  /** Of which an answer was lost, or said that nobody knows. */
  readonly #ambiguous = new Set<string>();
  /** What was acknowledged of a tenant, newest last. */
  readonly #movable = new Map<Tenant, { key: string; id: string }[]>();
  #stopped = false;

  constructor(parts: { history: History; apis: readonly Slot[]; tenants: readonly Tenant[]; seed: number }) {
    this.#history = parts.history;
    this.#apis = parts.apis;
    this.#tenants = parts.tenants;
    this.#seed = parts.seed;
  }

  /** Resolves when everybody has stopped, after `stop`. */
  async run({ mixed, readers, seed }: { mixed: number; readers: number; seed: number }): Promise<void> {
    [this.#seed, this.#stopped] = [seed, false];
    await Promise.all([
      ...Array.from({ length: mixed }, (_, number) => this.#client(number)),
      ...Array.from({ length: readers }, (_, number) => this.#reader(mixed + number)),
    ]);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Requests that have no answer yet. */
  get inFlight(): number {
    return this.#hanging.values().reduce((sum, count) => sum + count, 0);
  }

  /** Postings of which no answer told what became of them. */
  get unsettled(): number {
    return this.#unsettled.size;
  }

  /** Sends every unsettled posting again, and some that were acknowledged long ago: the keys must tell. */
  async settle(repeats: number): Promise<void> {
    this.#stopped = false;
    const dice = new Dice(this.#seed);
    const acknowledged = dice.shuffled(this.#history.acknowledgements).slice(0, repeats);
    for (const key of [...this.#unsettled, ...acknowledged.map(({ key }) => this.#batchOf.get(key) ?? key)]) {
      await this.#post(dice, key);
    }
  }

  /** One read of every account through every API. */
  async readAll(): Promise<void> {
    for (const tenant of this.#tenants) await this.look(tenant, [...tenant.hot, ...tenant.cold, ...tenant.watched]);
  }

  /** One read of each account through every API. */
  async look(tenant: Tenant, accounts: readonly Account[]): Promise<void> {
    for (const api of this.#apis) {
      for (const { id } of accounts) {
        await this.#read(tenant, id, { consistency: 'cached', minVersion: 0, patienceMs: 6_000, api });
      }
    }
  }

  async #client(number: number): Promise<void> {
    const dice = new Dice(this.#seed * 1_000 + number);
    for (let turn = 0; !this.#stopped; turn += 1) {
      await sleep(dice.between(0, PAUSE_MS));
      const tenant = dice.pick(this.#tenants);
      if (dice.next() < WRITES) {
        const key = `${this.#seed}-${number}-${turn}`;
        this.#mean(dice, tenant, key);
        await this.#post(dice, key);
        continue;
      }
      if (dice.next() < FOREIGN) {
        await this.#lookElsewhere(dice, tenant);
        continue;
      }
      const { id } = pickRead(dice, tenant);
      const draw = dice.next();
      const consistency = draw < 0.8 ? 'cached' : draw < 0.92 ? 'strong' : 'bounded';
      const minVersion = dice.next() < 0.1 ? (this.#known.get(id) ?? 0) : 0;
      const patienceMs = dice.pick(PATIENCE_MS);
      await this.#read(tenant, id, { consistency, minVersion, patienceMs, api: this.#api(dice) });
    }
  }

  /** Default reads, one after the other. */
  async #reader(number: number): Promise<void> {
    const dice = new Dice(this.#seed * 1_000 + number);
    while (!this.#stopped) {
      const tenant = dice.pick(this.#tenants);
      const patienceMs = dice.pick(PATIENCE_MS);
      const { id } = pickRead(dice, tenant);
      await this.#read(tenant, id, { consistency: 'cached', minVersion: 0, patienceMs, api: this.#api(dice) });
      // An API that is down refuses at once.
      await nextTurn();
    }
  }

  /** Another tenant's account is not there. */
  async #lookElsewhere(dice: Dice, tenant: Tenant): Promise<void> {
    const other = dice.pick(this.#tenants.filter((one) => one !== tenant));
    const path = `/v1/accounts/${dice.pick(other.hot).id}/balance`;
    const answer = await this.#ask(this.#api(dice), tenant, { path, patienceMs: dice.pick(PATIENCE_MS) });
    if (answer?.status === 404) this.counts.foreign += 1;
    else if (answer && answer.status < 300) this.counts.unexpected.push(`${path} told ${tenant.merchant} of another`);
  }

  #mean(dice: Dice, tenant: Tenant, key: string): void {
    const draw = dice.next();
    if (dice.next() < BATCHES) {
      this.#meanBatch(dice, tenant, key);
      return;
    }
    const asked = draw < MOVES ? this.#posting(dice, tenant, draw < HOLDS) : this.#move(dice, tenant);
    this.#history.asked.set(key, asked ?? this.#posting(dice, tenant, true));
    this.#owners.set(key, tenant);
    this.#unsettled.add(key);
  }

  #meanBatch(dice: Dice, tenant: Tenant, key: string): void {
    const count = BATCH.least + dice.below(BATCH.most - BATCH.least + 1);
    const keys = Array.from({ length: count }, (_, place) => `${key}.${place}`);
    for (const one of keys) this.#history.asked.set(one, this.#posting(dice, tenant, false));
    this.#history.batches.set(key, keys);
    for (const one of [key, ...keys]) this.#owners.set(one, tenant);
    for (const one of keys) this.#batchOf.set(one, key);
    this.#unsettled.add(key);
  }

  #posting(dice: Dice, tenant: Tenant, hold: boolean): Asked {
    const from = pickAccount(dice, tenant);
    let to = from;
    while (to === from) to = pickAccount(dice, tenant);
    const amount = BigInt(1 + dice.below(1_000));
    const base = { from: from.id, to: to.id, amount, invokedAt: now() };
    if (!hold) return { kind: 'transfer', ...base };
    const expiresAt = new Date(Date.now() + dice.between(EXPIRES_MS.low, EXPIRES_MS.high));
    return { kind: 'hold', ...base, ...(dice.next() < EXPIRE && { expiresAt }) };
  }

  /** Captures, voids or takes back something, whole or in part; undefined while there is nothing. */
  #move(dice: Dice, tenant: Tenant): Move | undefined {
    const recent = this.#movable.get(tenant)?.slice(-RECENT) ?? [];
    if (recent.length === 0) return undefined;
    const { key: parent, id: parentId } = dice.pick(recent);
    const one = this.#history.asked.get(parent) as Asked;
    const draw = dice.next();
    const part = dice.next() < 0.6 && { amount: BigInt(1 + dice.below(600)) };
    const kind = isMove(one) || one.kind === 'transfer' ? 'reverse' : draw < 0.75 ? 'capture' : 'void';
    const whole = { kind, parent, parentId, invokedAt: now() } as const;
    if (kind === 'capture') return { ...whole, ...part, final: dice.next() < 0.5 };
    return kind === 'void' ? whole : { ...whole, ...part };
  }

  /** Until an answer tells what became of it; the same key each time. */
  async #post(dice: Dice, key: string): Promise<void> {
    const tenant = this.#owners.get(key) as Tenant;
    const { path, body } = this.#requestOf(key);
    let again = dice.next() < REPEATED ? 1 : 0;
    for (let tries = 1; tries <= TRIES && !this.#stopped; tries += 1) {
      const api = this.#api(dice);
      this.counts.postingsSent += 1;
      if (tries > 1) this.counts.retries += 1;
      const patienceMs = dice.pick(PATIENCE_MS);
      const answer = await this.#ask(api, tenant, { path, patienceMs, body, key });
      if (!answer || NOBODY_KNOWS.has(answer.status)) this.#nobodyKnows(key);
      if (answer && this.#settles(key, answer)) {
        if (again === 0) return;
        again -= 1;
        continue;
      }
      await sleep(dice.between(0, BACKOFF_MS));
    }
  }

  #requestOf(key: string): { path: string; body: object } {
    const asked = (one: string): Asked => this.#history.asked.get(one) as Asked;
    const keys = this.#history.batches.get(key);
    if (!keys) return requestOf(key, asked(key));
    const transactions = keys.map((one) => requestOf(one, asked(one)).body);
    return { path: '/v1/transactions/batch', body: { mode: 'atomic', transactions } };
  }

  #nobodyKnows(key: string): void {
    if (!this.#ambiguous.has(key)) this.counts.ambiguous += 1;
    this.#ambiguous.add(key);
  }

  /** Whether the answer tells what became of the request. */
  #settles(key: string, answer: Answer): boolean {
    const { status, body, completedAt } = answer;
    const keys = this.#history.batches.get(key) ?? [key];
    if (status === 201) this.#acknowledged(key, answer);
    else if (status === 200 && keys[0] !== key) {
      for (const [place, one] of keys.entries())
        this.#acknowledged(one, { ...answer, body: body.results[place].transaction });
    } else if (this.#isRefusal(keys, body.code)) {
      for (const one of keys) this.#history.refusals.push({ key: one, code: body.code, completedAt });
    } else if (!this.#isTooLate(key, answer.status)) return false;
    if (this.#ambiguous.delete(key) && answer.replayed && status < 300) this.counts.ambiguousAndDone += 1;
    this.#unsettled.delete(key);
    return true;
  }

  /** An answer that says that nothing was done, and why it could not be. */
  #isRefusal(keys: readonly string[], code: string): boolean {
    const { floored } = this.#owners.get(keys[0] as string) as Tenant;
    return keys.some((key) => {
      const asked = this.#history.asked.get(key) as Asked;
      const { from, to } = originOf(this.#history.asked, asked) as Posting;
      return (isMove(asked) && REFUSALS.has(code)) || (code === POOR && (floored.has(from) || floored.has(to)));
    });
  }

  #acknowledged(key: string, { body, replayed, api, invokedAt, completedAt }: Answer): void {
    const entries: Json[] = body.entries;
    const versions = entries.map((entry) => ({ account: entry.account_id, version: Number(entry.account_version) }));
    for (const { account, version } of versions) this.#learn(account, version);
    const transaction = String(body.id);
    this.#remember(key, transaction);
    this.#acknowledgedKeys.add(key);
    this.#history.acknowledgements.push({ key, api, invokedAt, completedAt, transaction, replayed, versions });
  }

  /** A void cannot be moved. */
  #remember(key: string, id: string): void {
    const tenant = this.#owners.get(key) as Tenant;
    const movable = this.#movable.get(tenant) ?? [];
    this.#movable.set(tenant, movable);
    const asked = this.#history.asked.get(key);
    const moves = asked?.kind !== 'void' && asked?.kind !== 'reverse';
    if (moves && !movable.some((one) => one.key === key)) movable.push({ key, id });
  }

  async #read(
    tenant: Tenant,
    account: string,
    how: { consistency: 'cached' | 'strong' | 'bounded'; minVersion: number; patienceMs: number; api: Slot },
  ): Promise<void> {
    const { consistency, minVersion, patienceMs, api } = how;
    const least = minVersion > 0 ? `&min_version=${minVersion}` : '';
    const path = `/v1/accounts/${account}/balance?consistency=${consistency}${least}`;
    const answer = await this.#ask(api, tenant, { path, patienceMs });
    if (answer?.status !== 200) {
      this.counts.readsFailed += 1;
      return;
    }
    const { posted, pending, version, source } = answer.body;
    this.#learn(account, Number(version));
    this.#history.reads.push({
      account,
      consistency,
      minVersion,
      api: answer.api,
      invokedAt: answer.invokedAt,
      completedAt: answer.completedAt,
      version: Number(version),
      sums: [BigInt(posted.debits), BigInt(posted.credits), BigInt(pending.debits), BigInt(pending.credits)],
      source,
    });
  }

  #learn(account: string, version: number): void {
    if (version > (this.#known.get(account) ?? 0)) this.#known.set(account, version);
  }

  /** Undefined: no answer in time, or none at all. */
  async #ask(
    service: Slot,
    tenant: Tenant,
    what: { path: string; patienceMs: number; body?: unknown; key?: string },
  ): Promise<Answer | undefined> {
    const { url } = service;
    if (url === undefined) return undefined;
    const headers: Record<string, string> = { authorization: `Bearer ${tenant.key}` };
    if (what.body !== undefined) headers['content-type'] = 'application/json';
    if (what.key !== undefined) headers['idempotency-key'] = what.key;
    this.#hanging.set(service, (this.#hanging.get(service) ?? 0) + 1);
    const invokedAt = now();
    try {
      const sent = what.body === undefined ? undefined : JSON.stringify(what.body);
      const { patienceMs } = what;
      const { status, replayed, text } = await exchange(url + what.path, { headers, body: sent, patienceMs });
      const body: Json = JSON.parse(text);
      if (status >= 300) {
        this.counts.refusals.set(status, (this.counts.refusals.get(status) ?? 0) + 1);
        if (!EXCUSABLE.has(status) && !this.#isExpected(what.key, status, body.code))
          this.counts.unexpected.push(`${what.path}: ${status} ${JSON.stringify(body)}`);
      }
      return { status, body, replayed, api: service.name, invokedAt, completedAt: now() };
    } catch (error) {
      if (error instanceof Error && error.name === 'TimeoutError') this.counts.timeouts += 1;
      else this.counts.brokenConnections += 1;
      return undefined;
    } finally {
      this.#hanging.set(service, (this.#hanging.get(service) ?? 1) - 1);
    }
  }

  #isExpected(key: string | undefined, status: number, code: string): boolean {
    // An account of another tenant.
    if (key === undefined) return status === 404;
    return this.#isRefusal(this.#history.batches.get(key) ?? [key], code) || this.#isTooLate(key, status);
  }

  /** A hold that is asked for when its time is over is refused; one that was made before then is told again as it was. */
  #isTooLate(key: string, status: number): boolean {
    const asked = this.#history.asked.get(key);
    if (status !== 422 || asked === undefined || !('expiresAt' in asked) || asked.expiresAt === undefined) return false;
    return asked.expiresAt.getTime() < Date.now() && !this.#acknowledgedKeys.has(key);
  }

  /** Any API that is up, paused or not; one at which many requests hang is spared, so that traffic goes on. */
  #api(dice: Dice): Slot {
    const up = this.#apis.filter(({ url }) => url !== undefined);
    const free = up.filter((api) => (this.#hanging.get(api) ?? 0) < HANGING);
    const from = free.length > 0 ? free : up.length > 0 ? up : this.#apis;
    return dice.pick(from);
  }
}

function requestOf(key: string, asked: Asked): { path: string; body: object } {
  if (isMove(asked)) {
    const { kind, parentId, amount, final } = asked;
    const action = kind === 'capture' ? 'post' : kind;
    const part = amount !== undefined && { amount: String(amount) };
    return { path: `/v1/transactions/${parentId}/${action}`, body: { ...part, ...(final !== undefined && { final }) } };
  }
  const { kind, from, to, amount, expiresAt } = asked;
  const entry = { amount: String(amount), currency: 'EUR' };
  const body = {
    type: kind,
    external_ref: key,
    ...(kind === 'hold' && { status: 'pending' }),
    ...(expiresAt && { expires_at: expiresAt.toISOString() }),
    entries: [
      { account_id: from, direction: 'debit', ...entry },
      { account_id: to, direction: 'credit', ...entry },
    ],
  };
  return { path: '/v1/transactions', body };
}

function pickRead(dice: Dice, tenant: Tenant): Account {
  return dice.next() < WATCHED ? dice.pick(tenant.watched) : pickAccount(dice, tenant);
}

function pickAccount(dice: Dice, { hot, cold }: Tenant): Account {
  return dice.pick(dice.next() < 0.7 ? hot : cold);
}
