import { afterAll, beforeAll, expect, test } from 'vitest';
import { int8Array, textArray } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { PLAN_BY_KEYS } from '#platform/plan-by-keys.js';
import type { Query } from '#platform/postgres.js';
import { DRAFT, LOCK_DRAFTS } from '#settlement/draft-sql.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { RULE, TestSettlement } from './support/settlement.js';

const DAY_MS = 86_400_000;
const DATE = new Date(Date.now() - 2 * DAY_MS).toISOString().slice(0, 10);
const NOON_MS = Date.parse(`${DATE}T12:00:00Z`);

let on: TestDatabase;
let settlement: TestSettlement;

beforeAll(async () => {
  on = await freshDatabase();
  settlement = await TestSettlement.open(on);
});
afterAll(async () => {
  await settlement.close();
  await on.drop();
});

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Cond'?: string;
  Plans?: PlanNode[];
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

/** How the statement reads tables, as it is planned now. */
async function readsOf(merchantId: bigint, query: Query): Promise<PlanNode[]> {
  const { database } = settlement.ledger;
  return database.transaction({ merchantIds: [merchantId] }, Deadline.after(20_000), async (client) => {
    await client.query({ text: PLAN_BY_KEYS });
    const { rows } = await client.query<{ 'QUERY PLAN': string | { Plan: PlanNode }[] }>({
      ...query,
      text: `EXPLAIN (FORMAT JSON) ${query.text}`,
    });
    const told = rows[0]?.['QUERY PLAN'];
    const [plan] = (typeof told === 'string' ? JSON.parse(told) : told) as { Plan: PlanNode }[];
    return nodesOf(plan?.Plan as PlanNode).filter((node) => node['Relation Name'] && /Scan/.test(node['Node Type']));
  });
}

/** By what rows of large tables are to be found. */
const KEYS: Readonly<Record<string, string>> = {
  entries: 'account_version',
  payable_items: 'account_version',
  settlement_lines: 'account_version',
  fee_volumes: 'month',
};

async function expectByKeys(merchantId: bigint): Promise<void> {
  const draft = { text: DRAFT, values: [asked(merchantId), JSON.stringify([])] };
  const one = [int8Array([merchantId]), textArray(['EUR']), int8Array([1n]), int8Array([0n]), int8Array([9n])];
  for (const query of [draft, { text: LOCK_DRAFTS, values: one }]) {
    const reads = await readsOf(merchantId, query);
    expect(reads.length).toBeGreaterThan(1);
    for (const read of reads) {
      const key = KEYS[read['Relation Name'] as string];
      // What a payment was charged is found by the payment.
      const found = new RegExp(`${key}|subject_id`);
      expect(read['Node Type']).toMatch(/^(Index|Bitmap)/);
      if (key !== undefined && 'Index Cond' in read) expect(read['Index Cond']).toMatch(found);
    }
    const seen = new Set(reads.map((read) => read['Relation Name']));
    for (const table of query === draft ? Object.keys(KEYS) : ['entries']) expect([...seen]).toContain(table);
  }
}

function asked(merchantId: bigint): string {
  const noon = new Date(NOON_MS);
  const [id, none] = [String(merchantId), '0'];
  const versions = { after: none, until: '9', seen_through: none };
  const piece = { since: [noon], dates: [DATE], months: [DATE], plan_ids: [null], plan_versions: [null] };
  const times = { starts_at: noon, ends_at: noon, returns: [false], terms: [null] };
  return JSON.stringify([
    { merchant_id: id, currency: 'EUR', settlement_id: '1', account_id: '1', ...versions, ...piece, ...times },
  ]);
}

test('what is drafted is found by keys, whether tables are empty when it is planned, or full', async () => {
  const merchantId = await settlement.createMerchant({ createdAtMs: NOON_MS });
  await expectByKeys(merchantId);
  await settlement.charge(merchantId, [{ ...RULE, fixed: 1n }], true);
  const payments = Array.from({ length: 2_000 }, (_, index) => BigInt(index + 1));
  await settlement.happen(
    merchantId,
    ...payments.map((subject) => ({ kind: 'payment' as const, amount: 100n, subject, atMs: NOON_MS })),
  );
  await settlement.settle([merchantId], DATE);
  await expectByKeys(merchantId);
  await asAdmin(on.ownerUrl, (owner) => owner.query('ANALYZE'));
  await expectByKeys(merchantId);
}, 60_000);
