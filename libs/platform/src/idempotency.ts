import { PROBLEMS, type ProblemCode, ProblemError, problemDocument } from '#kernel/problem.js';
import type { Deadline } from './deadline.js';
import {
  allSettledThenThrow,
  Database,
  isLockTimeout,
  isUniqueViolation,
  type Scope,
  type TransactionClient,
} from './postgres.js';
import type { RequestBounds } from './request-context.js';
import { traceIdOf } from './tracing.js';

/** An Idempotency-Key, and the digest of what makes it the same request. */
export interface Idempotency {
  key: string;
  requestSha256: Buffer;
  /** False: a refusal is not kept, and the next request with the key is decided anew. */
  keepsRefusals?: false;
}

/** Tenant of the keys of requests that no merchant is there for, or not yet: no Snowflake is 0. */
export const PLATFORM_TENANT = 0n;

/** How the result of a request becomes its answer, which is kept when the request has a key. */
export interface Answering<T> {
  idempotency: Idempotency | undefined;
  status: number;
  /** `kept`: the body of a replay, where that differs: a secret is told once, and null is in its place afterwards. */
  bodyOf(result: T): { body: object; kept?: object };
}

export interface Answer {
  status: number;
  /** What JSON has, or a problem document. */
  body: object;
  /** An earlier request with the key was answered so. */
  replayed: boolean;
}

/** First half of an advisory lock's name, so that these meet no others. The second is the key's hash: a collision only waits. */
const LOCK_CLASS = 1_768_190_053;
const LOCK_KEY = {
  name: 'lock-idempotency-key',
  text: 'SELECT pg_advisory_xact_lock($1::int, hashtext($2))',
};
const LOCK_TIMEOUT = { name: 'set-lock-timeout', text: `SELECT set_config('lock_timeout', $1, true)` };
const LOOK_UP = {
  name: 'look-up-idempotency-key',
  text: 'SELECT request_sha256, status, response FROM idempotency_keys WHERE merchant_id = $1 AND key = $2',
};
const KEEP = {
  name: 'keep-idempotency-key',
  text: 'INSERT INTO idempotency_keys (merchant_id, key, request_sha256, status, response) VALUES ($1, $2, $3, $4, $5)',
};

interface KeptRow extends Record<string, unknown> {
  request_sha256: Buffer;
  status: number;
  response: string | null;
}

/**
 * Requests that write, but for postings (their writer looks keys up for a whole group): one transaction that holds the effect
 * and, where the client gave one, the row of its Idempotency-Key. Whatever dies leaves both or neither.
 */
export class IdempotentRequests {
  readonly #database: Database;
  readonly #waitMs: number;

  /** `waitMs`: how long a request waits for the first one with its key. */
  constructor(database: Database, options: { waitMs: number }) {
    this.#database = database;
    this.#waitMs = options.waitMs;
  }

  /**
   * Does `work` in a transaction of the merchant's scope and answers with its result, or as the first request with the key
   * was answered. A refusal of `work` undoes what it wrote, and is kept if it tells of the resource's state; other errors, and
   * refusals without a key, are thrown. Throws `idempotency_key_reused` and `idempotency_in_flight`.
   * `keysOf`: whose keys they are; the merchant's unless it is only being created. A request of the platform itself is PLATFORM_TENANT's,
   * and sees what the platform may see.
   */
  answer<T>(
    merchantId: bigint,
    bounds: RequestBounds,
    answering: Answering<T>,
    work: (client: TransactionClient) => Promise<T>,
    keysOf: bigint = merchantId,
  ): Promise<Answer> {
    const { idempotency, status, bodyOf } = answering;
    const merchantIds = keysOf === merchantId ? [merchantId] : [merchantId, keysOf];
    const scope: Scope = merchantId === PLATFORM_TENANT ? { merchantIds, platform: true } : { merchantIds };
    return this.#database.transaction(scope, bounds.deadline, async (client) => {
      if (!idempotency) return { status, body: bodyOf(await work(client)).body, replayed: false };
      const known = await this.#lookUp(client, keysOf, idempotency, bounds.deadline);
      if (known) return replayOf(known, idempotency);
      const { kept, ...first } = await outcomeOf(client, bounds, answering, work);
      await keep(client, keysOf, idempotency, { status: first.status, body: kept ?? first.body });
      return { ...first, replayed: false };
    });
  }

  /** Waits for whoever is at work under the same key, and keeps others waiting until the transaction ends. */
  async #lookUp(
    client: TransactionClient,
    keysOf: bigint,
    { key }: Idempotency,
    deadline: Deadline,
  ): Promise<KeptRow | undefined> {
    // 0 would be no timeout at all.
    const waitMs = Math.max(1, Math.ceil(Math.min(this.#waitMs, deadline.remainingMs)));
    try {
      const [, , , found] = await allSettledThenThrow([
        client.query<KeptRow>({ ...LOCK_TIMEOUT, values: [String(waitMs)] }),
        client.query<KeptRow>({ ...LOCK_KEY, values: [LOCK_CLASS, `${keysOf}:${key}`] }),
        client.query<KeptRow>({ ...LOCK_TIMEOUT, values: ['0'] }),
        client.query<KeptRow>({ ...LOOK_UP, values: [keysOf, key] }),
      ]);
      return found?.rows[0];
    } catch (error) {
      throw isLockTimeout(error) ? inFlight(error) : error;
    }
  }
}

/** Whether a request with the key has been answered: for whoever would do much before `answer` tells. */
export async function knowsKey(
  database: Database,
  merchantId: bigint,
  key: string,
  deadline: Deadline,
): Promise<boolean> {
  const query = { ...LOOK_UP, values: [merchantId, key] };
  return (await database.read({ merchantIds: [merchantId] }, deadline, query)).length > 0;
}

async function outcomeOf<T>(
  client: TransactionClient,
  { span }: RequestBounds,
  { idempotency, status, bodyOf }: Answering<T>,
  work: (client: TransactionClient) => Promise<T>,
): Promise<{ status: number; body: object; kept?: object }> {
  await client.query({ text: 'SAVEPOINT before_work' });
  try {
    return { status, ...bodyOf(await work(client)) };
  } catch (error) {
    if (!(error instanceof ProblemError) || !isKept(error.code) || idempotency?.keepsRefusals === false) throw error;
    await client.query({ text: 'ROLLBACK TO SAVEPOINT before_work' });
    const { code, message: detail, errors } = error;
    const traceId = traceIdOf(span);
    const refusal = { code, detail, ...(errors && { errors }), ...(traceId && { trace_id: traceId }) };
    return { status: error.status, body: problemDocument(refusal) };
  }
}

/** Refusals by the state of a resource. What a client mends in the request, and what passes, does not burn its key. */
function isKept(code: ProblemCode): boolean {
  const { status } = PROBLEMS[code];
  return (status === 409 || status === 422) && code !== 'validation_failed' && !code.startsWith('idempotency_');
}

async function keep(
  client: TransactionClient,
  keysOf: bigint,
  { key, requestSha256 }: Idempotency,
  answer: { status: number; body: object },
): Promise<void> {
  try {
    await client.query({ ...KEEP, values: [keysOf, key, requestSha256, answer.status, JSON.stringify(answer.body)] });
  } catch (error) {
    // The writer of postings takes no such lock: one under the same key came first, and the next try will find its row.
    throw isUniqueViolation(error, 'idempotency_keys_pkey') ? inFlight(error) : error;
  }
}

function replayOf({ request_sha256, status, response }: KeptRow, { requestSha256 }: Idempotency): Answer {
  if (!request_sha256.equals(requestSha256)) {
    throw new ProblemError('idempotency_key_reused', 'This Idempotency-Key was first sent with another request.');
  }
  if (response === null) throw new Error('an idempotency key of a posting that claims to be another request');
  return { status, body: JSON.parse(response) as object, replayed: true };
}

function inFlight(cause: unknown): ProblemError {
  return new ProblemError('idempotency_in_flight', 'The first request with this Idempotency-Key is still running.', {
    retryAfterS: 1,
    cause,
  });
}
