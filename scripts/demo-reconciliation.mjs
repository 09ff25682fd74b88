// Yesterday of the demo's first merchant once more: as its processor reports it, and as the bank shows it. Both are wrong in every way that there is a kind of
// break for. Starting the demo again uploads nothing, and shows what came of it.
import { callApi } from './call-api.mjs';
import { until } from './services/until.mjs';

/** The start waits no longer for what is matched: it takes a second. */
const WITHIN_MS = 10_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Of the breaks that are printed. */
const LIMIT = 100;
const COLUMNS = ['reference', 'object_ref', 'type', 'gross', 'fee', 'net', 'currency', 'occurred_at', 'batch'];

/** @typedef {{ url: string, secret: string }} BankPlace */
/** @typedef {{ id: string, status: string, rows: number, matched: number }} Report */
/** @typedef {{ id: string, kind: string, status: string, reference: string | null, difference: string | null, currency: string | null, reconciliation_id: string }} Break */

/**
 * What the processor believes. Payments are those of demo-night.mjs; hours are those before the day was over.
 * @param {string} date @param {number} endMs
 */
function processorReport(date, endMs) {
  /** @param {string} reference @param {string} type @param {number} gross @param {number} fee @param {number} hours @param {{ object?: string, currency?: string, batch?: string }} [more] */
  const row = (reference, type, gross, fee, hours, more = {}) => {
    const { object = '', currency = 'EUR', batch = `demo-${date}` } = more;
    const at = new Date(endMs - hours * HOUR_MS).toISOString();
    return {
      batch,
      currency,
      net: gross - fee,
      cells: [reference, object, type, gross, fee, gross - fee, currency, at, batch],
    };
  };
  const rows = [
    // Ten days before it happened. yesterday-2 is not in it.
    row('yesterday-1', 'payment', 4_200, 84, 9 + 240),
    row('yesterday-3', 'payment', 12_909, 206, 6),
    // A batch is of one currency.
    row('yesterday-3', 'refund', -3_000, 0, 4.5, { object: 'refund-3', currency: 'USD', batch: '' }),
    row('yesterday-4', 'payment', 760, 36, 5),
    row('yesterday-4', 'payment', 760, 36, 4.9),
    // The ledger was told 35.
    row('yesterday-5', 'payment', 2_480, 60, 4),
    row('yesterday-6', 'payment', 1_990, 53, 3),
    // It failed.
    row('yesterday-6', 'refund', -500, 0, 2.5, { object: 'refund-6' }),
    // It was captured in two parts, which are alike.
    row('yesterday-7', 'payment', 1_500, 46, 2),
    row('kiosk-17', 'payment', 590, 33, 1),
    row('', 'fee', -25, 0, 0),
  ];
  const paid = rows.reduce((sum, { net, currency }) => sum + (currency === 'EUR' ? net : 0), 0);
  const lines = [...rows, row('', 'payout', -paid, 0, 0)].map(({ cells }) => cells.join(','));
  return { content: `${[COLUMNS.join(','), ...lines].join('\n')}\n`, paid };
}

/**
 * @param {{ url: string, operatorKey: string, merchantId: string, name: string, date: string, endMs: number, bank: BankPlace | undefined }} options
 * @returns {Promise<import('./demo-payments.mjs').Story>} what to look at
 */
export async function seedReconciliation({ url, operatorKey, merchantId, name, date, endMs, bank }) {
  const headers = { 'counterfoil-merchant': merchantId };
  /** @param {string} method @param {string} path @param {{ type: string, content: string }} [text] */
  const call = (method, path, text) => callApi({ url, key: operatorKey, method, path, headers, ...(text && { text }) });
  /** Lists begin with the newest; what the demo made came first. @param {string} source @returns {Promise<Report | undefined>} */
  const first = async (source) => (await call('GET', `/v1/reconciliations?source=${source}&limit=1000`)).data.at(-1);
  /** @param {Report} report */
  const ended = async ({ id }) => {
    const now = await call('GET', `/v1/reconciliations/${id}`);
    return ['completed', 'failed'].includes(now.status) ? now : undefined;
  };
  /** Once. @param {string} source @param {string} query @param {() => Promise<{ type: string, content: string }>} read */
  const reconcile = async (source, query, read) => {
    const report =
      (await first(source)) ?? (await call('POST', `/v1/reconciliations?source=${source}${query}`, await read()));
    return /** @type {Report} */ ((await until(WITHIN_MS, () => ended(report))) ?? report);
  };

  const { content, paid } = processorReport(date, endMs);
  const period = `&period_from=${new Date(endMs - DAY_MS).toISOString()}&period_to=${new Date(endMs).toISOString()}&sla_days=0`;
  const reports = [await reconcile('generic', period, async () => ({ type: 'text/csv', content }))];
  if (bank) reports.push(await reconcile('camt053', '', () => statementOf(bank, `demo-${date}`, paid)));
  const breaks = await Promise.all(
    reports.map(({ id }) => call('GET', `/v1/reconciliations/${id}/breaks?limit=${LIMIT}`)),
  );
  return story(
    { name, date },
    reports,
    breaks.flatMap(({ data }) => data.toReversed()),
  );
}

/** What the bank shows today, half a euro short of what the processor says that it paid. @param {BankPlace} bank @param {string} batch @param {number} paid */
async function statementOf({ url, secret }, batch, paid) {
  const at = new Date();
  const credit = { reference: `Demo Payments, batch ${batch}`, amount: String(paid - 50), currency: 'EUR', at };
  await callApi({ url, key: secret, method: 'POST', path: '/credits', body: credit });
  const answer = await fetch(`${url}/statements/${at.toISOString().slice(0, 10)}`, {
    headers: { authorization: `Bearer ${secret}` },
  });
  return { type: 'application/xml', content: await answer.text() };
}

/** @param {{ name: string, date: string }} day @param {Report[]} reports @param {Break[]} breaks @returns {import('./demo-payments.mjs').Story} */
function story({ name, date }, reports, breaks) {
  const [rows, matched] = [sum(reports.map((one) => one.rows)), sum(reports.map((one) => one.matched))];
  const open = breaks.filter(({ status }) => status === 'open').length;
  const lines = breaks.map(
    ({ kind, status, reference, difference, currency }) =>
      `  ${kind.padEnd(18)} ${(reference ?? '').padEnd(20)} ${(difference ?? '').padStart(7)} ${(difference && currency) ?? ''}${status === 'open' ? '' : `   ${status}`}`,
  );
  const text = `The processor's report of ${name}'s ${date} and today's statement of the bank are held against the ledger: ${matched} of ${rows} rows are matched, and ${breaks.length} breaks were found (of rows, and of what no row tells), of which ${open} are open:

${lines.map((line) => line.trimEnd()).join('\n')}
`;
  const found = breaks.find(({ kind }) => kind === 'amount_mismatch') ?? breaks[0];
  const commands = `
  curl -sS -w '\\n' "$URL/v1/reconciliations?source=generic" -H "Authorization: Bearer $OPERATOR_KEY" -H "Counterfoil-Merchant: $MERCHANT"
${found ? `\n  curl -sS -w '\\n' $URL/v1/breaks/${found.id} -H "Authorization: Bearer $OPERATOR_KEY" -H "Counterfoil-Merchant: $MERCHANT"\n` : ''}`;
  return { text, commands };
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
