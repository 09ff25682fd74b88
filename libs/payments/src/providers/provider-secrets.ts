import type { EntityManager } from 'typeorm';
import { ProblemError } from '#kernel/problem.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { ProviderSecret } from './provider-secret.entity.js';

/** Each makes every check of a signature longer. */
export const MAX_VALID_SECRETS = 5;

const VALID_KEYS = {
  name: 'provider-keys',
  text: `SELECT key FROM provider_secrets
  WHERE merchant_id = $1 AND provider = $2 AND (expires_at IS NULL OR expires_at > now()) ORDER BY id DESC LIMIT ${MAX_VALID_SECRETS}`,
};

/** What a provider may sign with now: for each of its webhooks, in one trip. */
export async function validKeys(
  database: Database,
  { merchantId, provider }: Pick<ProviderSecret, 'merchantId' | 'provider'>,
  deadline: Deadline,
): Promise<Buffer[]> {
  const query = { ...VALID_KEYS, values: [merchantId, provider] };
  return (await database.read<{ key: Buffer }>({ merchantIds: [merchantId] }, deadline, query)).map(({ key }) => key);
}

/** Those that are valid at `nowMs`, the current one first. */
export function validAt(secrets: readonly ProviderSecret[], nowMs: number): ProviderSecret[] {
  return secrets
    .filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > nowMs)
    .sort(
      (one, other) =>
        Number(other.expiresAtMs === null) - Number(one.expiresAtMs === null) || (one.id > other.id ? -1 : 1),
    );
}

/** How a provider's secrets follow each other. */
export interface Succession {
  readonly nowMs: number;
  /** How long what was current goes on, if nothing else is asked for. */
  readonly overlapMs: number;
  /** When all earlier ones end at the latest; not later than now: they end at once. */
  readonly previousUntilMs: number | undefined;
}

/**
 * Makes `secret` the current one, for the caller's transaction behind the merchant's lock. Returns whether it was not already. Throws
 * `invalid_transition` when too many would be valid.
 */
export async function succeed(
  manager: EntityManager,
  secret: Pick<ProviderSecret, 'merchantId' | 'provider' | 'id' | 'key'>,
  { nowMs, overlapMs, previousUntilMs }: Succession,
): Promise<boolean> {
  const { merchantId, provider } = secret;
  const valid = validAt(await manager.findBy(ProviderSecret, { merchantId, provider }), nowMs);
  const current = valid.find(({ expiresAtMs }) => expiresAtMs === null);
  const isNew = !current?.key.equals(secret.key);
  const earlier = isNew ? valid : valid.filter((one) => one !== current);
  const kept = earlier.filter((one) => endOf(one) > nowMs);
  if (isNew && kept.length >= MAX_VALID_SECRETS) {
    const detail = `${kept.length} secrets of the provider are valid; end them with previous_valid_until, or wait.`;
    throw new ProblemError('invalid_transition', detail);
  }
  for (const one of earlier) {
    const { id, expiresAtMs } = one;
    if (endOf(one) <= nowMs) await manager.delete(ProviderSecret, { merchantId, provider, id });
    else if (endOf(one) !== expiresAtMs)
      await manager.update(ProviderSecret, { merchantId, provider, id }, { expiresAtMs: endOf(one) });
  }
  if (isNew)
    await manager.insert(ProviderSecret, { ...secret, expiresAtMs: null, createdAtMs: snowflakeTimeMs(secret.id) });
  return isNew;

  function endOf({ expiresAtMs }: ProviderSecret): number {
    return Math.min(expiresAtMs ?? previousUntilMs ?? nowMs + overlapMs, previousUntilMs ?? Number.POSITIVE_INFINITY);
  }
}
