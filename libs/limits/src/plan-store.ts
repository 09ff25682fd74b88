import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { Plan } from './plan.js';

interface PlanRow extends Record<string, unknown> {
  units_per_second: number;
  burst_units: number;
  units_in_flight: number;
  weight: number;
}

function planOf(row: PlanRow): Plan {
  return {
    unitsPerSecond: row.units_per_second,
    burstUnits: row.burst_units,
    unitsInFlight: row.units_in_flight,
    weight: row.weight,
  };
}

const FIND = {
  name: 'find-merchant-limits',
  text: `SELECT merchant_id, units_per_second, burst_units, units_in_flight, weight FROM merchant_limits WHERE merchant_id = ANY ($1)`,
};

/** Of those merchants that have limits of their own. */
export async function findPlans(
  database: Database,
  merchantIds: readonly bigint[],
  deadline: Deadline,
): Promise<Map<bigint, Plan>> {
  const query = { ...FIND, values: [merchantIds] };
  const rows = await database.read<PlanRow & { merchant_id: bigint }>({ merchantIds }, deadline, query);
  return new Map(rows.map((row) => [row.merchant_id, planOf(row)]));
}

const FIND_ONE = `
SELECT l.units_per_second, l.burst_units, l.units_in_flight, l.weight
  FROM merchants m LEFT JOIN merchant_limits l ON l.merchant_id = m.id WHERE m.id = $1`;

/** `null`: none of its own. Undefined: there is no such merchant. */
export async function findPlan(
  database: Database,
  merchantId: bigint,
  deadline: Deadline,
): Promise<Plan | null | undefined> {
  const query = { text: FIND_ONE, values: [merchantId] };
  const scope = { merchantIds: [merchantId] };
  const [row] = await database.read<PlanRow | { units_per_second: null }>(scope, deadline, query);
  if (!row) return undefined;
  return row.units_per_second === null ? null : planOf(row);
}

const SET = `
INSERT INTO merchant_limits (merchant_id, units_per_second, burst_units, units_in_flight, weight)
SELECT id, $2, $3, $4, $5 FROM merchants WHERE id = $1
    ON CONFLICT (merchant_id) DO UPDATE SET units_per_second = excluded.units_per_second, burst_units = excluded.burst_units,
       units_in_flight = excluded.units_in_flight, weight = excluded.weight, changed_at = now()
RETURNING merchant_id`;

/** Returns false where there is no such merchant. */
export async function setPlan(
  database: Database,
  merchantId: bigint,
  plan: Plan,
  deadline: Deadline,
): Promise<boolean> {
  const values = [merchantId, plan.unitsPerSecond, plan.burstUnits, plan.unitsInFlight, plan.weight];
  return (await database.write({ merchantIds: [merchantId] }, deadline, { text: SET, values })).length > 0;
}

const REMOVE = `
WITH removed AS (DELETE FROM merchant_limits WHERE merchant_id = $1) SELECT FROM merchants WHERE id = $1`;

/** Returns false where there is no such merchant. */
export async function removePlan(database: Database, merchantId: bigint, deadline: Deadline): Promise<boolean> {
  const query = { text: REMOVE, values: [merchantId] };
  return (await database.write({ merchantIds: [merchantId] }, deadline, query)).length > 0;
}
