import { invalid } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import { publicUrl, UrlRefused, type UrlRules } from '#platform/public-url.js';
import { providerOf } from './providers.js';

/** Where a provider is asked about payments, and with what. Write-only, but for the URL. */
export interface QueryAccess {
  /** Null: the provider's own. */
  readonly url: string | null;
  readonly token: string;
}

/** Throws `validation_failed`. */
export function checkedAccess(
  provider: string,
  given: { url?: string | undefined; token: string },
  rules: UrlRules,
): QueryAccess {
  const { query } = providerOf(provider);
  if (!query) throw invalid('query_token', `cannot be used: ${provider} cannot be asked about a payment`);
  if (query.hasOwnUrl) {
    if (given.url !== undefined) throw invalid('query_url', `is ${provider}’s own`);
    return { url: null, token: given.token };
  }
  if (given.url === undefined) throw invalid('query_url', 'is needed where there is a query_token');
  try {
    return { url: publicUrl(given.url, rules).href.replace(/\/$/, ''), token: given.token };
  } catch (error) {
    if (error instanceof UrlRefused) throw invalid('query_url', error.message);
    throw error;
  }
}

/** For the caller's transaction, behind the merchant's lock: from then on what becomes unknown or unconfirmed is asked for. */
export async function setAccess(
  client: TransactionClient,
  { merchantId, provider }: { merchantId: bigint; provider: string },
  access: QueryAccess | undefined,
): Promise<void> {
  await client.query(
    access
      ? {
          text: `INSERT INTO provider_queries (merchant_id, provider, url, token, changed_at) VALUES ($1, $2, $3, $4, now())
                 ON CONFLICT (merchant_id, provider) DO UPDATE SET url = excluded.url, token = excluded.token, changed_at = now()`,
          values: [merchantId, provider, access.url, access.token],
        }
      : {
          text: 'DELETE FROM provider_queries WHERE merchant_id = $1 AND provider = $2',
          values: [merchantId, provider],
        },
  );
}

/** By provider: where it is asked. Null: at its own URL. */
export async function askedProviders(
  client: TransactionClient,
  merchantId: bigint,
): Promise<Map<string, string | null>> {
  const { rows } = await client.query<{ provider: string; url: string | null }>({
    text: 'SELECT provider, url FROM provider_queries WHERE merchant_id = $1',
    values: [merchantId],
  });
  return new Map(rows.map(({ provider, url }) => [provider, url]));
}

/** Undefined: nobody is asked, or no more. */
export async function findAccess(
  database: Database,
  { merchantId, provider }: { merchantId: bigint; provider: string },
  deadline: Deadline,
): Promise<QueryAccess | undefined> {
  const query = {
    name: 'find-query-access',
    text: 'SELECT url, token FROM provider_queries WHERE merchant_id = $1 AND provider = $2',
    values: [merchantId, provider],
  };
  const [row] = await database.read<{ url: string | null; token: string }>(
    { merchantIds: [merchantId] },
    deadline,
    query,
  );
  return row;
}

export type AnswerOutcome = 'told' | 'nothing' | 'failed';

/** Keeps what came of asking: the last answer, and how often. */
export async function keepAnswer(
  database: Database,
  { merchantId, subject }: { merchantId: bigint; subject: string },
  answer: { outcome: AnswerOutcome; detail: string | null },
  deadline: Deadline,
): Promise<void> {
  await database.write({ merchantIds: [merchantId] }, deadline, {
    name: 'keep-query-answer',
    text: `INSERT INTO payment_queries AS q (merchant_id, subject, asked_at, outcome, detail) VALUES ($1, $2, now(), $3, $4)
           ON CONFLICT (merchant_id, subject) DO UPDATE
             SET times = q.times + 1, asked_at = excluded.asked_at, outcome = excluded.outcome, detail = excluded.detail`,
    values: [merchantId, subject, answer.outcome, answer.detail],
  });
}
