/**
 * @typedef {(method: string, path: string, more?: { body?: unknown, idempotencyKey?: string, headers?: Record<string, string> }) => Promise<any>} Call
 */

/** Merchants whose payouts are looked at. */
const LOOKED_AT = 1_000;
const AT_ONCE = 8;

/** @param {Call} call @param {any} run @param {readonly string[] | undefined} named */
export async function printSummary(call, run, named) {
  const { settled, empty, not_due, failed } = run.merchants;
  console.log(
    `${run.status}: ${settled} settled, ${empty} with nothing to settle, ${not_due} not due, ${failed} failed`,
  );
  if (run.totals.length > 0) console.log(table(run.totals.map(totalsRow)));
  await printPayouts(call, run, named);
  for (const { merchant_id, problem } of run.errors) {
    console.log(`  merchant ${merchant_id}: ${problem.code}: ${problem.detail}`);
  }
  if (failed > run.errors.length) console.log(`  and ${failed - run.errors.length} more`);
}

/** @param {any} totals */
function totalsRow({ currency, settlements, gross, refunds, disputes, other, adjustments, fees, net }) {
  return { currency, settlements, gross, refunds, disputes, other, adjustments, fees, net };
}

/** What was paid out since the run was asked for. @param {Call} call @param {any} run @param {readonly string[] | undefined} named */
async function printPayouts(call, run, named) {
  const { ids, hasMore } = named ? { ids: [...named], hasMore: false } : await newestMerchants(call);
  /** @type {Map<string, { currency: string, status: string, payouts: number, amount: bigint }>} */
  const sums = new Map();
  const next = async () => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      for (const payout of await payoutsSince(call, id, run.created_at)) add(sums, payout);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  const rows = [...sums.values()].map(({ amount, ...row }) => ({ ...row, amount: String(amount) }));
  console.log(rows.length === 0 ? 'no payouts began' : `payouts that began:\n${table(rows)}`);
  if (hasMore) console.log(`(payouts of the newest ${LOOKED_AT} merchants)`);
}

/** @param {Call} call */
async function newestMerchants(call) {
  const { data, has_more: hasMore } = await call('GET', `/v1/merchants?limit=${LOOKED_AT}`);
  return { ids: data.map((/** @type {{ id: string }} */ { id }) => id), hasMore };
}

/** @param {Call} call @param {string} merchantId @param {string} since */
async function payoutsSince(call, merchantId, since) {
  const { data } = await call('GET', '/v1/payouts', { headers: { 'counterfoil-merchant': merchantId } });
  return data.filter((/** @type {{ created_at: string }} */ { created_at }) => created_at >= since);
}

/** @param {Map<string, { currency: string, status: string, payouts: number, amount: bigint }>} sums @param {any} payout */
function add(sums, { currency, status, amount }) {
  const name = `${currency} ${status}`;
  const sum = sums.get(name) ?? { currency, status, payouts: 0, amount: 0n };
  sums.set(name, { ...sum, payouts: sum.payouts + 1, amount: sum.amount + BigInt(amount) });
}

/** @param {readonly Record<string, string | number>[]} rows */
function table(rows) {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => String(row[name])))];
  const widths = names.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) => `  ${line.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')}`)
    .join('\n');
}
