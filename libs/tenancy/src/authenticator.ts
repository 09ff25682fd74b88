import { LRUCache } from 'lru-cache';
import type { Peer } from '#platform/client-address.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { isOperatorKey, isSameSecret, merchantOfApiKey, OPERATOR_PREFIX, sha256 } from './api-key.js';
import { ENVIRONMENT_OPERATOR, type Operator } from './operator.js';
import type { Strangers } from './strangers.js';

/** Who asks: a merchant with its own key, or an operator of the platform. */
export type Caller = { kind: 'merchant'; merchantId: bigint } | { kind: 'operator'; operator: Operator };

const OF_ENVIRONMENT: Caller = { kind: 'operator', operator: ENVIRONMENT_OPERATOR };
const CACHED_KEYS = 20_000;
/** Refused keys are few unless somebody tries many; those must not drive out the good ones, hence a cache of their own. */
const CACHED_REFUSALS = 5_000;
const CACHED_MERCHANTS = 20_000;
/** A look-up may take this long at most, so that an answer that is old on arrival still leaves the cache in time. */
const LOOKUP_TIMEOUT_MS = 1_500;

const FIND_KEY = {
  name: 'find-api-key',
  text: 'SELECT secret_sha256 FROM api_keys WHERE merchant_id = $1 AND secret_sha256 = $2 AND revoked_at IS NULL',
};
const FIND_OPERATOR = {
  name: 'find-operator-key',
  text: `SELECT id, name, responsible, secret_sha256 FROM operator_keys WHERE secret_sha256 = $1 AND revoked_at IS NULL`,
};
const FIND_MERCHANT = { name: 'find-merchant', text: 'SELECT id FROM merchants WHERE id = $1' };

interface OperatorKeyRow extends Record<string, unknown> {
  id: bigint;
  name: string;
  responsible: string;
  secret_sha256: Buffer;
}

/**
 * Tells who a bearer key belongs to. Answers are kept for `cacheMs` counted from *before* the look-up, so that a key
 * revoked at any moment is refused `cacheMs` later in every process, however slow the database was.
 */
export class Authenticator {
  readonly #database: Database;
  readonly #strangers: Strangers;
  readonly #operatorKeys: readonly Buffer[];
  readonly #cacheMs: number;
  /** Keys that were valid when they were last looked up, however long ago: they are looked up again as no stranger's are. */
  readonly #familiar = new LRUCache<string, true>({ max: CACHED_KEYS });
  readonly #callers: LRUCache<string, Caller>;
  readonly #refused: LRUCache<string, true>;
  readonly #merchants = new LRUCache<bigint, true>({ max: CACHED_MERCHANTS });
  readonly #lookups = new Map<string, Promise<Caller | undefined>>();
  readonly #digests = new WeakMap<object, { key: string; digest: Buffer; name: string }>();

  constructor(
    parts: { database: Database; strangers: Strangers },
    options: { operatorKeys: readonly string[]; cacheMs: number },
  ) {
    this.#database = parts.database;
    this.#strangers = parts.strangers;
    this.#operatorKeys = options.operatorKeys.map(sha256);
    this.#cacheMs = options.cacheMs;
    // A ttl of 0 would mean "for ever" to the cache; without caching nothing is put into it.
    const ttl = Math.max(1, options.cacheMs);
    this.#callers = new LRUCache({ max: CACHED_KEYS, ttl, ttlResolution: 0 });
    this.#refused = new LRUCache({ max: CACHED_REFUSALS, ttl, ttlResolution: 0 });
  }

  /**
   * The caller, or undefined when the key is not valid. A promise only when the database has to be asked. `peer`: where the key
   * came from; the digest of its connection's last key is remembered for as long as that lives, its validity is not. Throws, or
   * rejects with, `rate_limited` or `overloaded` for keys that nobody knows: see Strangers.
   */
  authenticate(key: string, deadline: Deadline, peer: Peer): Caller | undefined | Promise<Caller | undefined> {
    const isOperator = key.startsWith(OPERATOR_PREFIX);
    // The digest first: a key that is known by it needs neither its checksum nor its merchant worked out again.
    const { digest, name } = this.#digestOf(key, peer.socket);
    if (isOperator && this.#isOfEnvironment(digest)) return OF_ENVIRONMENT;
    const known = this.#callers.get(name);
    if (known !== undefined) return known;
    if (this.#refused.get(name)) return undefined;
    if (isOperator) {
      return isOperatorKey(key)
        ? this.#lookUpOnce({ name, peer }, deadline, (until) => this.#findOperator(digest, until))
        : undefined;
    }
    const merchantId = merchantOfApiKey(key);
    if (merchantId === undefined) return undefined;
    return this.#lookUpOnce({ name, peer }, deadline, (until) => this.#findMerchant(merchantId, digest, until));
  }

  /** Whether there is such a merchant: for operators who act for one. */
  async isMerchant(merchantId: bigint, deadline: Deadline): Promise<boolean> {
    // Merchants are never deleted, so that a yes stays a yes.
    if (this.#merchants.has(merchantId)) return true;
    const rows = await this.#database.read('platform', deadline, { ...FIND_MERCHANT, values: [merchantId] });
    if (rows.length > 0) this.#merchants.set(merchantId, true);
    return rows.length > 0;
  }

  /** Drops what this process knows about a merchant's keys. */
  forget(merchantId: bigint): void {
    this.#forget((caller) => caller.kind === 'merchant' && caller.merchantId === merchantId);
  }

  /** The same about an operator's key. */
  forgetOperator(keyId: bigint): void {
    this.#forget((caller) => caller.kind === 'operator' && caller.operator.keyId === keyId);
  }

  #forget(isGone: (caller: Caller) => boolean): void {
    for (const [name, caller] of this.#callers.entries()) if (isGone(caller)) this.#callers.delete(name);
  }

  #isOfEnvironment(digest: Buffer): boolean {
    let found = false;
    // All keys are compared, whichever matches.
    for (const known of this.#operatorKeys) found = isSameSecret(known, digest) || found;
    return found;
  }

  /** Hashing is 4 % of the CPU of a cached read, and a connection rarely changes its key. */
  #digestOf(key: string, connection: object): { digest: Buffer; name: string } {
    const last = this.#digests.get(connection);
    if (last?.key === key) return last;
    const digest = sha256(key);
    const next = { key, digest, name: digest.toString('base64') };
    this.#digests.set(connection, next);
    return next;
  }

  async #lookUpOnce(
    of: { name: string; peer: Peer },
    deadline: Deadline,
    find: (deadline: Deadline) => Promise<Caller | undefined>,
  ): Promise<Caller | undefined> {
    let lookup = this.#lookups.get(of.name);
    if (!lookup) {
      // Everybody who asks meanwhile shares it, so that its deadline is its own and not that of whoever came first.
      const until = Deadline.after(LOOKUP_TIMEOUT_MS);
      lookup = this.#lookUp(of, until, find).finally(() => this.#lookups.delete(of.name));
      this.#lookups.set(of.name, lookup);
    }
    return deadline.race(lookup);
  }

  async #lookUp(
    { name, peer }: { name: string; peer: Peer },
    until: Deadline,
    find: (deadline: Deadline) => Promise<Caller | undefined>,
  ): Promise<Caller | undefined> {
    const findAndKeep = () => this.#keep(name, () => find(until));
    if (this.#familiar.has(name)) return findAndKeep();
    const attempt = this.#strangers.begin(peer);
    // What the database cannot tell is nobody's failure.
    let isValid = true;
    try {
      const caller = await this.#strangers.lookUp(peer, until, findAndKeep);
      isValid = caller !== undefined;
      return caller;
    } finally {
      attempt.end(isValid);
    }
  }

  async #keep(name: string, find: () => Promise<Caller | undefined>): Promise<Caller | undefined> {
    const start = performance.now();
    const caller = await find();
    if (caller) this.#familiar.set(name, true);
    else this.#familiar.delete(name);
    if (this.#cacheMs > 0) {
      if (caller) this.#callers.set(name, caller, { start });
      else this.#refused.set(name, true, { start });
    }
    return caller;
  }

  async #findMerchant(merchantId: bigint, digest: Buffer, deadline: Deadline): Promise<Caller | undefined> {
    const [row] = await this.#database.read<{ secret_sha256: Buffer }>({ merchantIds: [merchantId] }, deadline, {
      ...FIND_KEY,
      values: [merchantId, digest],
    });
    return row && isSameSecret(row.secret_sha256, digest) ? { kind: 'merchant', merchantId } : undefined;
  }

  async #findOperator(digest: Buffer, deadline: Deadline): Promise<Caller | undefined> {
    const [row] = await this.#database.read<OperatorKeyRow>('platform', deadline, {
      ...FIND_OPERATOR,
      values: [digest],
    });
    if (!row || !isSameSecret(row.secret_sha256, digest)) return undefined;
    return { kind: 'operator', operator: { keyId: row.id, name: row.name, responsible: row.responsible } };
  }
}
