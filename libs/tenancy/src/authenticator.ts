import { LRUCache } from 'lru-cache';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { isSameSecret, merchantOfApiKey, sha256 } from './api-key.js';
import { ENVIRONMENT_OPERATOR, type Operator } from './operator.js';

/** Who asks: a merchant with its own key, or an operator of the platform. */
export type Caller = { kind: 'merchant'; merchantId: bigint } | { kind: 'operator'; operator: Operator };

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
const FIND_MERCHANT = { name: 'find-merchant', text: 'SELECT id FROM merchants WHERE id = $1' };

/**
 * Tells who a bearer key belongs to. Answers are kept for `cacheMs` counted from *before* the look-up, so that a key
 * revoked at any moment is refused `cacheMs` later in every process, however slow the database was.
 */
export class Authenticator {
  readonly #database: Database;
  readonly #operatorKeys: readonly Buffer[];
  readonly #cacheMs: number;
  readonly #merchantOfKey: LRUCache<string, bigint>;
  readonly #refused: LRUCache<string, true>;
  readonly #merchants = new LRUCache<bigint, true>({ max: CACHED_MERCHANTS });
  readonly #lookups = new Map<string, Promise<bigint | undefined>>();
  readonly #digests = new WeakMap<object, { key: string; digest: Buffer; name: string }>();

  constructor(database: Database, options: { operatorKeys: readonly string[]; cacheMs: number }) {
    this.#database = database;
    this.#operatorKeys = options.operatorKeys.map(sha256);
    this.#cacheMs = options.cacheMs;
    // A ttl of 0 would mean "for ever" to the cache; without caching nothing is put into it.
    const ttl = Math.max(1, options.cacheMs);
    this.#merchantOfKey = new LRUCache({ max: CACHED_KEYS, ttl, ttlResolution: 0 });
    this.#refused = new LRUCache({ max: CACHED_REFUSALS, ttl, ttlResolution: 0 });
  }

  /**
   * The caller, or undefined when the key is not valid. A promise only when the database has to be asked. `connection`: what
   * the key came over; its last key's digest is remembered for as long as it lives, its validity is not.
   */
  authenticate(key: string, deadline: Deadline, connection: object): Caller | undefined | Promise<Caller | undefined> {
    if (key.startsWith('cfo_'))
      return this.#isOperator(key) ? { kind: 'operator', operator: ENVIRONMENT_OPERATOR } : undefined;
    // The digest first: a key that is known by it needs neither its checksum nor its merchant worked out again.
    const { digest, name } = this.#digestOf(key, connection);
    const known = this.#merchantOfKey.get(name);
    if (known !== undefined) return { kind: 'merchant', merchantId: known };
    if (this.#refused.get(name)) return undefined;
    const merchantId = merchantOfApiKey(key);
    if (merchantId === undefined) return undefined;
    return this.#lookUpOnce(name, merchantId, digest, deadline);
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
    for (const [name, of] of this.#merchantOfKey.entries()) if (of === merchantId) this.#merchantOfKey.delete(name);
  }

  #isOperator(key: string): boolean {
    const digest = sha256(key);
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

  async #lookUpOnce(name: string, merchantId: bigint, digest: Buffer, deadline: Deadline): Promise<Caller | undefined> {
    let lookup = this.#lookups.get(name);
    if (!lookup) {
      // Everybody who asks meanwhile shares it, so that its deadline is its own and not that of whoever came first.
      lookup = this.#lookUp(name, merchantId, digest, Deadline.after(LOOKUP_TIMEOUT_MS)).finally(() =>
        this.#lookups.delete(name),
      );
      this.#lookups.set(name, lookup);
    }
    return (await deadline.race(lookup)) === undefined ? undefined : { kind: 'merchant', merchantId };
  }

  async #lookUp(name: string, merchantId: bigint, digest: Buffer, deadline: Deadline): Promise<bigint | undefined> {
    const start = performance.now();
    const [row] = await this.#database.read<{ secret_sha256: Buffer }>({ merchantIds: [merchantId] }, deadline, {
      ...FIND_KEY,
      values: [merchantId, digest],
    });
    const isValid = row !== undefined && isSameSecret(row.secret_sha256, digest);
    if (this.#cacheMs > 0) {
      if (isValid) this.#merchantOfKey.set(name, merchantId, { start });
      else this.#refused.set(name, true, { start });
    }
    return isValid ? merchantId : undefined;
  }
}
