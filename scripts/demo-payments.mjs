// A merchant of the demo whose payments come from a provider that tells of them late, twice and out of order: apps/provider-simulator.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callApi } from './call-api.mjs';
import { root } from './compile.mjs';
import { Child } from './services/child.mjs';
import { until } from './services/until.mjs';

export const SHOP = {
  name: 'Out-of-order Shop',
  time_zone: 'Europe/Vienna',
  settlement_cutoff: '00:00',
  currencies: ['EUR'],
};

const PROVIDER = 'simulator';
/** Told backwards, one fact after the other, before the others begin. */
const FEATURED = { ref: 'order-1004', plot: 'purchase' };
const OTHERS = Array.from({ length: 25 }, (_, n) => `order-${1101 + n}`);
const DAY_MS = 86_400_000;
const READY_WITHIN_MS = 20_000;
/** The start waits no longer for what has been told so far; more may come later. */
const TOLD_WITHIN_MS = 3_000;

/** @typedef {{ url: string, key: string }} SimulatorPlace */
/** @typedef {{ id: string, key: string }} DemoMerchant */
/** @typedef {{ type: string, source: string, outcome: string, amount: string | null, occurred_at: string, received_at: string, transaction_id: string | null }} Told */
/** @typedef {{ text: string, commands: string }} Story */
/** @typedef {{ id: string, status: string, amount_captured: string, amount_refunded: string, amount_settled: string, timeline: Told[] }} Payment */

/**
 * Starts beside API and worker, and ends with its supervisor.
 * @param {import('./services/supervise.mjs').Keep} keep
 */
export function startSimulator(keep) {
  const key = randomBytes(24).toString('hex');
  const env = { PATH: process.env.PATH, PROVIDER_SIMULATOR_KEY: key };
  const child = keep(
    Child.node('the provider simulator', ['dist/apps/provider-simulator/src/main.js'], { cwd: root, env }),
  );
  return {
    ended: child.ended,
    /** @returns {Promise<SimulatorPlace>} */
    async place() {
      const { port } = await child.firstWord(READY_WITHIN_MS);
      return { url: `http://127.0.0.1:${port}`, key };
    },
  };
}

/**
 * Has the simulator tell the shop of its payments. Starting the demo again tells the same again, which changes nothing.
 * @param {{ url: string, shop: DemoMerchant, simulator: SimulatorPlace, folder: string }} options
 * @returns {Promise<Story>} what to look at
 */
export async function seedPayments({ url, shop, simulator, folder }) {
  const account = accountIn(folder);
  await callApi({
    url,
    key: shop.key,
    method: 'PUT',
    path: `/v1/providers/${PROVIDER}`,
    body: { webhook_secret: account.secret },
  });
  /** @param {string} method @param {string} path @param {unknown} [body] */
  const provider = (method, path, body) => callApi({ ...simulator, method, path: `/accounts/${shop.id}${path}`, body });
  const webhook = `${url}/v1/providers/${PROVIDER}/merchants/${shop.id}/webhook`;
  await provider('PUT', '', { ...account, url: webhook, currency: 'EUR' });
  const { ref, plot } = FEATURED;
  await provider('POST', '/payments', { refs: [ref], plot, tell: 'backwards' });
  await until(TOLD_WITHIN_MS, async () => (await provider('GET', '')).waiting === 0);
  const payment = await until(TOLD_WITHIN_MS, () => paymentToldOf(url, shop));
  await provider('POST', '/payments', { refs: OTHERS });
  if (payment) return story(shop, payment);
  const text = `${SHOP.name} has not heard of ${ref} from its provider yet: GET /v1/payments will have it.\n`;
  return { text, commands: '' };
}

/** The featured payment, once it is there. @param {string} url @param {DemoMerchant} shop @returns {Promise<Payment | undefined>} */
async function paymentToldOf(url, { key }) {
  const list = `/v1/payments?provider=${PROVIDER}&provider_ref=${FEATURED.ref}`;
  const { data } = await callApi({ url, key, method: 'GET', path: list });
  return data[0] && callApi({ url, key, method: 'GET', path: `/v1/payments/${data[0].id}` });
}

/** As whom the simulator signs, and since when it has had payments: made once, so that it tells the same each time. @param {string} folder */
function accountIn(folder) {
  const file = join(folder, 'provider-account.json');
  if (!existsSync(file)) {
    const account = {
      secret: `whsec_${randomBytes(32).toString('base64')}`,
      api_key: randomBytes(24).toString('hex'),
      since: new Date(Date.now() - 2 * DAY_MS).toISOString(),
    };
    writeFileSync(`${file}.new`, `${JSON.stringify(account)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** @param {DemoMerchant} shop @param {Payment} payment @returns {Story} */
function story(shop, { id, status, timeline, ...amounts }) {
  const lines = timeline
    .toSorted((a, b) => (a.received_at < b.received_at ? -1 : 1))
    .map(({ type, amount, occurred_at, received_at, outcome, transaction_id }) => {
      const what = `${type.padEnd(17)}${(amount ?? '').padStart(7)}`;
      const when = `happened ${occurred_at.slice(5, 16).replace('T', ' ')}   heard ${received_at.slice(11, 23)}`;
      return `  ${what}   ${when}   ${outcome.padEnd(8)}${transaction_id ?? ''}`;
    });
  const text = `${SHOP.name} hears of its payment ${FEATURED.ref} backwards, and of everything twice:

${lines.join('\n')}

What was heard before its cause waited, and was posted with it. The payment is ${status}, as if it had been told in order: captured ${amounts.amount_captured},
refunded ${amounts.amount_refunded}, settled ${amounts.amount_settled}.
`;
  const commands = `
  export SHOP_KEY=${shop.key}

  curl -sS -w '\\n' $URL/v1/payments/${id} -H "Authorization: Bearer $SHOP_KEY"
`;
  return { text, commands };
}
