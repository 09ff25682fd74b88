import type pg from 'pg';

/** One node of a plan, as EXPLAIN (FORMAT JSON) has it. */
export interface PlanNode {
  'Node Type': string;
  'Index Name'?: string;
  'Relation Name'?: string;
  'Heap Fetches'?: number;
  'Actual Rows': number;
  'Actual Loops': number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: PlanNode[];
}

export interface Explained {
  /** The whole plan, parents first. */
  nodes: PlanNode[];
  executionMs: number;
  buffers: number;
  text: string;
}

/** Runs a statement of one merchant as the runtime role would, and says how PostgreSQL did it. */
export async function explain(
  client: pg.Client,
  merchantId: bigint,
  statement: { text: string; values: unknown[] },
  { walks = false } = {},
): Promise<Explained> {
  await client.query('BEGIN READ ONLY');
  try {
    await client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true), set_config('enable_sort', $2, true)`, [
      `{${merchantId}}`,
      walks ? 'off' : 'on',
    ]);
    const { rows } = await client.query({
      ...statement,
      text: `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement.text}`,
    });
    const answer = rows[0]['QUERY PLAN'];
    const [plan] = typeof answer === 'string' ? JSON.parse(answer) : answer;
    const nodes = flatten(plan.Plan);
    return {
      nodes,
      executionMs: plan['Execution Time'],
      buffers: plan.Plan['Shared Hit Blocks'] + plan.Plan['Shared Read Blocks'],
      text: nodes
        .map((node) => [node['Node Type'], node['Index Name'] ?? node['Relation Name']].filter(Boolean).join(' '))
        .join(' > '),
    };
  } finally {
    await client.query('ROLLBACK');
  }
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}
