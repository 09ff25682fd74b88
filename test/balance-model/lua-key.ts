import type { Redis } from 'ioredis';
import type { ScriptName } from '#balances/scripts.js';
import { type LuaPatch, luaTexts, T0 } from '../support/lua-bench.js';

/**
 * What a script does to one account's key, asked of the real script on a real Redis once for each distinct (key, call) and
 * remembered. A key of the exploration is a number (`KeyCode`); it is written out as a hash, the script runs, and the hash
 * that it left is read back and must be writable as a number again: so nothing that a script leaves can escape.
 */
export const TTL_MS = 5_000;
const KEY = 'bal:{1}:1';
const NEVER_MS = 0;
/** More than any script of the exploration can keep, so that a draw takes the lease. */
const DRAWS_MS = TTL_MS;
const LONG_LEASE_MS = TTL_MS;

/** Bits: 5 tokens, floor or version known, value, TTL, 3 of version, 3 of lease owner. */
export type KeyCode = number;
const CODES = 1 << 14;
export const KNOWN = 1 << 5;
export const VALUE = 1 << 6;
export const HAS_TTL = 1 << 7;
export const MAX_WRITERS = 5;
/** The lease belongs to somebody who will never use it. */
export const ORPHAN = 7;

export interface Call {
  script: ScriptName;
  args: readonly (string | number)[];
  nowMs?: number;
}

/** Replies of `read` as numbers; the other scripts answer 0 or 1. */
export const READ_REPLIES = ['HIT', 'REFRESH', 'DATABASE', 'BUSY', 'GRANTED'] as const;
export const [HIT, REFRESH, DATABASE, , GRANTED] = [0, 1, 2, 3, 4] as const;

export const token = (writer: number): string => `t${writer}`;
const leaseId = (reader: number): string => `r${reader}`;
const ANONYMOUS = 'x';

/** The calls of the exploration. Versions are v0, v1, …; writers and readers are numbered. */
export const calls = {
  fence: (writer: number): Call => ({ script: 'fence', args: [token(writer)] }),
  unfence: (writer: number): Call => ({ script: 'unfence', args: [token(writer), TTL_MS] }),
  publish: (writer: number, version: number): Call => ({
    script: 'publish',
    args: [token(writer), version, `v${version}`, TTL_MS],
  }),
  publishLate: (writer: number, version: number): Call => ({
    ...calls.publish(writer, version),
    nowMs: T0 + TTL_MS,
  }),
  swept: (writer: number, version: number): Call => ({ script: 'swept', args: [token(writer), version, TTL_MS] }),
  /** The script reads what the monitor saw; what the ledger said rides along for its mutants. */
  heal: (seen: number, ledger: number): Call => ({
    script: 'heal',
    args: [seen, `v${seen}`, ledger, `v${ledger}`, TTL_MS],
  }),
  invalidate: (version: number): Call => ({ script: 'invalidate', args: [version, TTL_MS] }),
  read: (reader: number): Call => ({ script: 'read', args: [leaseId(reader), TTL_MS, LONG_LEASE_MS, NEVER_MS] }),
  readAnonymously: (): Call => ({ script: 'read', args: [ANONYMOUS, TTL_MS, LONG_LEASE_MS, NEVER_MS] }),
  readEarly: (reader: number): Call => ({ script: 'read', args: [leaseId(reader), TTL_MS, LONG_LEASE_MS, DRAWS_MS] }),
  /** The lease that is there counts as timed out. */
  readOver: (reader: number): Call => ({ script: 'read', args: [leaseId(reader), TTL_MS, 0, NEVER_MS] }),
  fill: (reader: number, version: number): Call => ({
    script: 'fill',
    args: [leaseId(reader), version, `v${version}`, TTL_MS],
  }),
  fillLate: (reader: number, version: number): Call => ({ ...calls.fill(reader, version), nowMs: T0 + TTL_MS }),
};

interface Memo {
  readonly call: Call;
  /** Next key << 3 | reply; −1 where nobody has asked yet. */
  readonly results: Int32Array;
}

export class LuaKey {
  readonly #redis: Redis;
  readonly #texts: ReturnType<typeof luaTexts>;
  readonly #memos = new Map<string, Memo>();
  #missing: { memo: Memo; code: KeyCode }[] = [];
  #ran = 0;
  #asked = 0;

  constructor(redis: Redis, patches: readonly LuaPatch[] = []) {
    this.#redis = redis;
    this.#texts = luaTexts(patches);
  }

  /** Distinct calls that the real Redis ran, and how often the exploration asked. */
  get counts(): { ran: number; asked: number } {
    return { ran: this.#ran, asked: this.#asked };
  }

  /** Whether `apply` has met calls whose result it does not know yet; what it then answered is worthless. */
  get missing(): boolean {
    return this.#missing.length > 0;
  }

  get missingCount(): number {
    return this.#missing.length;
  }

  /** Next key << 3 | reply. */
  apply(name: string, call: () => Call, code: KeyCode): number {
    this.#asked += 1;
    let memo = this.#memos.get(name);
    if (!memo) {
      memo = { call: call(), results: new Int32Array(CODES).fill(-1) };
      this.#memos.set(name, memo);
    }
    const known = memo.results[code] as number;
    if (known >= 0) return known;
    this.#missing.push({ memo, code });
    return code << 3;
  }

  /** Runs what is missing on the real Redis. */
  async learn(): Promise<void> {
    const missing = this.#missing;
    this.#missing = [];
    const fresh = new Map(missing.map((one) => [`${one.code} ${JSON.stringify(one.memo.call)}`, one]));
    const pipeline = this.#redis.pipeline();
    for (const { memo, code } of fresh.values()) {
      const { fields, expiresAt } = writeOut(code);
      pipeline.del(KEY);
      if (Object.keys(fields).length > 0) pipeline.hset(KEY, fields);
      else pipeline.ping();
      if (expiresAt === undefined) pipeline.ping();
      else pipeline.pexpireat(KEY, expiresAt);
      const { script, args, nowMs = T0 } = memo.call;
      pipeline.eval(this.#texts[script], 1, KEY, ...args, nowMs);
      pipeline.hgetall(KEY);
      pipeline.call('PEXPIRETIME', KEY);
    }
    const replies = (await pipeline.exec()) ?? [];
    for (const [error] of replies) if (error) throw error;
    let at = 0;
    for (const { memo, code } of fresh.values()) {
      const [, , , reply, fields, expiresAt] = replies.slice(at, at + 6).map(([, value]) => value);
      at += 6;
      const next = readBack(fields as Record<string, string>, expiresAt as number);
      const kind = Array.isArray(reply) ? READ_REPLIES.indexOf(reply[0]) : (reply as number);
      memo.results[code] = (next << 3) | kind;
      this.#ran += 1;
    }
  }
}

export function owner(code: KeyCode): number {
  return code >> 11;
}

export function version(code: KeyCode): number {
  return (code >> 8) & 7;
}

function writeOut(code: KeyCode): { fields: Record<string, string>; expiresAt: number | undefined } {
  const fields: Record<string, string> = {};
  if (code & KNOWN) fields.ver = String(version(code));
  if (code & VALUE) {
    fields.val = `v${version(code)}`;
    fields.die = String(T0 + TTL_MS);
  }
  const holder = owner(code);
  if (holder !== 0) fields.lease = `${holder === ORPHAN ? 'gone' : leaseId(holder - 1)} ${T0}`;
  for (let writer = 0; writer < MAX_WRITERS; writer += 1)
    if ((code >> writer) & 1) fields[`f:${token(writer)}`] = String(T0);
  return { fields, expiresAt: code & HAS_TTL ? T0 + TTL_MS : undefined };
}

function readBack(fields: Record<string, string>, expiresAt: number): KeyCode {
  let code = 0;
  if (fields.ver !== undefined) code |= KNOWN | (Number(fields.ver) << 8);
  if (fields.val !== undefined) code |= VALUE;
  const [holder] = fields.lease?.split(' ') ?? [];
  if (holder === 'gone' || holder === ANONYMOUS) code |= ORPHAN << 11;
  else if (holder !== undefined) code |= (Number(holder.slice(1)) + 1) << 11;
  for (const field of Object.keys(fields)) if (field.startsWith('f:t')) code |= 1 << Number(field.slice(3));
  if (expiresAt >= 0) code |= HAS_TTL;
  const again = writeOut(code);
  const expected = { ...again.fields };
  if (holder === ANONYMOUS) expected.lease = `${ANONYMOUS} ${T0}`;
  const same =
    Object.keys(fields).length === Object.keys(expected).length &&
    Object.entries(fields).every(([field, value]) => expected[field] === value) &&
    (expiresAt < 0 ? undefined : expiresAt) === again.expiresAt;
  if (!same)
    throw new Error(`a script left what the exploration cannot hold: ${JSON.stringify({ fields, expiresAt })}`);
  return code;
}
