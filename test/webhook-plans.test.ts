import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import type { Query } from '#platform/postgres.js';
import { CLAIM, DUE_TIMES } from '#webhooks/delivery-store.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestWebhooks } from './support/webhooks.js';

/** How a sender finds what is due, whatever the planner knows: three merchants with as many endpoints as they may have, among others. */

const MERCHANTS = 40;
const ENDPOINTS = 20;
/** To each endpoint, all due. */
const DELIVERIES = 60;
const ASKED = 3;
const LIMIT = 50;
const MOST = 12;

let on: TestDatabase;
let hooks: TestWebhooks;
const merchantIds: bigint[] = [];

beforeAll(async () => {
  on = await freshDatabase();
  hooks = await TestWebhooks.open(on);
  for (let one = 0; one < MERCHANTS; one += 1) merchantIds.push(await hooks.ledger.createMerchant());
});
afterAll(async () => {
  await hooks.close();
  await on.drop();
});

const asAnAdmin = (text: string, values: unknown[] = []) =>
  asAdmin(on.ownerUrl, (owner) => owner.query(text, values)).then(() => undefined);

/** Nobody analyses them before the test says so. */
async function fill(): Promise<void> {
  for (const table of ['webhook_endpoints', 'webhook_deliveries', 'webhook_secrets'])
    await asAnAdmin(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  await asAnAdmin(
    `INSERT INTO webhook_endpoints (merchant_id, id, url, ordering, created_at)
     SELECT m, e, 'http://127.0.0.1/', (ARRAY['strict', 'none'])[1 + e % 2], snowflake_time(e)
       FROM unnest($1::bigint[]) m, generate_series(1, $2::int) e`,
    [merchantIds, ENDPOINTS],
  );
  await asAnAdmin(
    `INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type)
     SELECT m, e, d, '1', d, 'account.created'
       FROM unnest($1::bigint[]) m, generate_series(1, $2::int) e, generate_series(1, $3::int) d`,
    [merchantIds, ENDPOINTS, DELIVERIES],
  );
  await asAnAdmin(
    `INSERT INTO webhook_secrets (merchant_id, endpoint_id, id, key, created_at)
     SELECT merchant_id, id, id, sha256(int8send(id)), created_at FROM webhook_endpoints`,
  );
}

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Cond'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];
/** Rows that it took from its table, also those that it passed over. */
const rowsOf = (node: PlanNode) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];

/** How the statement reads tables, and then nothing is claimed. */
async function readsOf({ text, values = [] }: Query, mode: 'generic' | 'custom'): Promise<PlanNode[]> {
  const asked = merchantIds.slice(0, ASKED);
  const rolledBack = new Error('rolled back');
  let reads: PlanNode[] = [];
  const work = hooks.database.transaction({ merchantIds: asked }, Deadline.after(20_000), async (client) => {
    await client.query({ text: `SELECT set_config('plan_cache_mode', 'force_${mode}_plan', true)` });
    const types = text.match(/\$\d+::\w+(\[\])?/g) ?? [];
    const typeOf = (place: number) => types.find((type) => type.startsWith(`$${place}::`))?.split('::')[1] ?? 'int';
    await client.query({
      text: `PREPARE asked (${values.map((_, index) => typeOf(index + 1)).join(', ')}) AS ${text}`,
    });
    const literals = values.map((value) => (Array.isArray(value) ? `'{${value.join(',')}}'` : String(value)));
    const { rows } = await client.query<{ 'QUERY PLAN': string | { Plan: PlanNode }[] }>({
      text: `EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked (${literals.join(', ')})`,
    });
    await client.query({ text: 'DEALLOCATE asked' });
    const told = rows[0]?.['QUERY PLAN'];
    const [plan] = (typeof told === 'string' ? JSON.parse(told) : told) as { Plan: PlanNode }[];
    reads = nodesOf(plan?.Plan as PlanNode).filter((node) => node['Relation Name'] && /Scan/.test(node['Node Type']));
    throw rolledBack;
  });
  await expect(work).rejects.toBe(rolledBack);
  return reads;
}

const ids = () => merchantIds.slice(0, ASKED);
const claim = (): Query => ({ text: CLAIM.text, values: [ids(), 60_000, LIMIT, ids().map(() => 0), MOST] });
const dueTimes = (): Query => ({ text: DUE_TIMES.text, values: [ids(), 60_000] });

for (const known of ['empty', 'analysed'] as const) {
  describe(`while the planner believes tables to be ${known}`, () => {
    beforeAll(() => (known === 'empty' ? fill() : asAnAdmin('ANALYZE')));

    test.each([
      ['a claim', claim],
      ['a look at when something becomes due', dueTimes],
    ])(
      '%s reads the endpoints of the merchants that are asked for, and of each what it is sent next',
      async (_, query) => {
        for (const mode of ['generic', 'custom'] as const) {
          const reads = await readsOf(query(), mode);
          const of = (table: string) => reads.filter((read) => read['Relation Name'] === table);
          const read = (table: string) => of(table).reduce((sum, node) => sum + rowsOf(node), 0);
          for (const node of [...of('webhook_deliveries'), ...of('webhook_secrets')]) {
            expect(node['Node Type']).toMatch(/^Index/);
            expect(node['Index Cond']).toMatch(/merchant_id = .*endpoint_id = /);
          }
          expect(read('webhook_deliveries')).toBe(ASKED * ENDPOINTS);
          // Twice: when they are found, and when they are locked; and once more when they are written.
          expect(read('webhook_endpoints')).toBeLessThanOrEqual(3 * ASKED * ENDPOINTS);
        }
      },
    );
  });
}
