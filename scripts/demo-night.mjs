// Yesterday of a demo merchant: payments, a fee plan, the settlement of the day and one payout. Starting the demo again shows the same.
import { callApi } from './call-api.mjs';
import { until } from './services/until.mjs';

const PROVIDER = 'demo';
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** It takes a second. The start waits no longer for a worker or for the bank: what is not there yet comes later. */
const WITHIN_MS = 10_000;
/** Captured so many hours before the day was over, in so many parts; what was given back of it afterwards, and what the processor kept. */
const PAYMENTS = [
  { hours: 9, amount: 4_200 },
  { hours: 8, amount: 1_350 },
  { hours: 6, amount: 12_900, refunded: 3_000 },
  { hours: 5, amount: 760 },
  { hours: 4, amount: 2_480, kept: 35 },
  { hours: 3, amount: 1_990, refundFailed: 500 },
  { hours: 2, amount: 3_000, parts: 2 },
];
const PLAN = {
  name: 'Demo: 1.40 % and 0.25, refunds 0.10',
  rules: [
    { applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25' },
    { applies_to: 'refund', currency: 'EUR', percent_bps: 0, fixed: '10' },
    { applies_to: 'payout', currency: 'EUR', percent_bps: 0, fixed: '50' },
  ],
};

/** @typedef {{ name: string, time_zone: string, settlement_cutoff: string, fee_plan_id: string | null }} Merchant */
/** @typedef {{ id: string, business_date: string, gross: string, refunds: string, disputes: string, other: string, adjustments: string, fees: string, net: string }} Settlement */
/** @typedef {{ kind: string, amount: string, fee: string, effective_at: string, payment_id: string | null }} Line */
/** @typedef {{ id: string, amount: string, status: string, destination: string, bank_reference: string | null }} Payout */
/** @typedef {{ merchantId: string, name: string, date: string, endMs: number }} Day whose it is, and when it ended */

/**
 * @param {{ url: string, operatorKey: string, id: string, key: string }} options
 * @returns {Promise<import('./demo-payments.mjs').Story & { day?: Day }>} what to look at, and the day that is settled
 */
export async function seedNight({ url, operatorKey, id: merchantId, key }) {
  /** @param {string} method @param {string} path @param {unknown} [body] @param {string} [idempotencyKey] */
  const call = (method, path, body, idempotencyKey) => callApi({ url, key, method, path, body, idempotencyKey });
  /** @param {string} method @param {string} path @param {unknown} [body] @param {string} [idempotencyKey] */
  const operate = (method, path, body, idempotencyKey) =>
    callApi({ url, key: operatorKey, method, path, body, idempotencyKey });
  /** Lists begin with the newest; what the demo made came first. @returns {Promise<Settlement | undefined>} */
  const firstSettlement = async () => (await call('GET', '/v1/settlements?limit=1000')).data.at(-1);

  /** @type {Merchant} */
  const merchant = await operate('GET', `/v1/merchants/${merchantId}`);
  let settlement = await firstSettlement();
  if (!settlement) {
    if (!merchant.fee_plan_id) {
      const { id } = await operate('POST', '/v1/fee_plans', PLAN, 'demo-fee-plan');
      await operate('PUT', `/v1/merchants/${merchantId}/fee_plan`, { fee_plan_id: id });
    }
    const { date, endMs } = lastDay(merchant);
    if ((await call('GET', `/v1/payments?provider=${PROVIDER}&limit=1`)).data.length === 0)
      await call('POST', '/v1/provider_events/batch', { events: PAYMENTS.flatMap((_, n) => facts(n, endMs)) });
    await operate('POST', '/v1/settlement_runs', { business_date: date, merchant_ids: [merchantId] });
    settlement = await until(WITHIN_MS, firstSettlement);
  }
  if (!settlement)
    return { text: `The day of ${merchant.name} is being settled: GET /v1/settlements will have it.\n`, commands: '' };
  const { data: lines } = await call('GET', `/v1/settlements/${settlement.id}/lines`);
  const { date, endMs } = lastDay(merchant);
  const daysAgo = Date.parse(date) - Date.parse(settlement.business_date);
  const day = { merchantId, name: merchant.name, date: settlement.business_date, endMs: endMs - daysAgo };
  return { ...story(merchant, settlement, lines, await payOut(call)), day };
}

/**
 * Once, all that is settled; what came of it, if it is there in time.
 * @param {(method: string, path: string, body?: unknown, idempotencyKey?: string) => Promise<any>} call @returns {Promise<Payout>}
 */
async function payOut(call) {
  const { data } = await call('GET', '/v1/payouts?limit=1000');
  const payout =
    data.at(-1) ?? (await call('POST', '/v1/payouts', { currency: 'EUR', destination: 'bank_ok' }, 'demo-payout'));
  const end = await until(WITHIN_MS, async () => {
    const now = await call('GET', `/v1/payouts/${payout.id}`);
    return ['reserved', 'instructed'].includes(now.status) ? undefined : now;
  });
  return end ?? payout;
}

/** The business day that ended last where the merchant is. @param {Merchant} merchant */
function lastDay({ time_zone: timeZone, settlement_cutoff: cutoff }) {
  const nowMs = Math.floor(Date.now() / 60_000) * 60_000;
  // As YYYY-MM-DD HH:MM.
  const local = new Intl.DateTimeFormat('sv', { timeZone, dateStyle: 'short', timeStyle: 'short' }).format(nowMs);
  const sinceMs =
    (Date.parse(`1970-01-01T${local.slice(11)}Z`) - Date.parse(`1970-01-01T${cutoff}Z`) + DAY_MS) % DAY_MS;
  const ended = new Date(Date.parse(`${local.replace(' ', 'T')}Z`) - sinceMs);
  // A day with a cut-off of the morning is named after the day before.
  if (Number(cutoff.slice(0, 2)) < 12) ended.setUTCDate(ended.getUTCDate() - 1);
  return { date: ended.toISOString().slice(0, 10), endMs: nowMs - sinceMs };
}

/** @param {number} n @param {number} endMs of the day */
function facts(n, endMs) {
  const { hours = 0, amount = 0, refunded, refundFailed, kept, parts = 1 } = PAYMENTS[n] ?? {};
  /** @param {string} type @param {number} minor @param {number} minutes @param {object} [more] */
  const fact = (type, minor, minutes, more) => ({
    provider: PROVIDER,
    event_id: `${type}-${n}-${minutes}`,
    payment_ref: `yesterday-${n + 1}`,
    type,
    amount: String(minor),
    currency: 'EUR',
    occurred_at: new Date(endMs - hours * HOUR_MS + minutes * 60_000).toISOString(),
    ...more,
  });
  const captures = Array.from({ length: parts }, (_, part) => fact('captured', amount / parts, 2 + part));
  const refund = { object_ref: `refund-${n + 1}` };
  return [
    fact('authorised', amount, 0),
    ...captures,
    ...(refunded ? [fact('refunded', refunded, 90, refund)] : []),
    ...(refundFailed
      ? [fact('refunded', refundFailed, 30, refund), fact('refund_failed', refundFailed, 60, refund)]
      : []),
    ...(kept ? [fact('settled', amount, 45, { fee: String(kept) })] : []),
  ];
}

/** @param {Merchant} merchant @param {Settlement} settlement @param {Line[]} lines @param {Payout} payout @returns {import('./demo-payments.mjs').Story} */
function story({ name, settlement_cutoff: cutoff, time_zone: zone }, settlement, lines, payout) {
  const { id, business_date: date, gross, refunds, disputes, other, adjustments, fees, net } = settlement;
  const shown = lines
    .toReversed()
    .map(
      ({ kind, amount, fee, effective_at: at }) =>
        `  ${kind.padEnd(9)}${amount.padStart(8)}   fee ${fee.padStart(5)}   ${at.slice(0, 16).replace('T', ' ')}`,
    )
    .join('\n');
  const text = `${name}'s business day ${date}, which ended at ${cutoff} in ${zone}, is settled:

${shown}

  ${gross} gross − ${refunds} refunds − ${disputes} disputes + ${other} other + ${adjustments} adjustments − ${fees} fees = ${net}

Of it ${payout.amount} went to ${payout.destination}: the payout is ${payout.status}${payout.bank_reference ? `, the bank knows it as ${payout.bank_reference}` : ''}.
`;
  const commands = `
  curl -sS -w '\\n' $URL/v1/settlements/${id} -H "Authorization: Bearer $KEY"

  curl -sS -w '\\n' $URL/v1/settlements/${id}/lines -H "Authorization: Bearer $KEY"

  curl -sS -w '\\n' $URL/v1/payouts/${payout.id} -H "Authorization: Bearer $KEY"
`;
  return { text, commands };
}
