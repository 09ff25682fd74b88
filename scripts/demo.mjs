// The demo's merchants, accounts and history, made through the REST API like anybody's. Running it again changes nothing.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callApi } from './call-api.mjs';
import { seedNight } from './demo-night.mjs';
import { SHOP, seedPayments } from './demo-payments.mjs';
import { seedReconciliation } from './demo-reconciliation.mjs';

const DAY_MS = 86_400_000;
const ORDER = 'demo-order-1';
const HELD_ORDER = 'demo-order-2';

const MERCHANTS = [
  {
    name: 'Nordwind Coffee',
    time_zone: 'Europe/Berlin',
    settlement_cutoff: '23:00',
    currencies: ['EUR'],
    people: ['alice', 'bob', 'dora'],
    unit: 125,
  },
  {
    name: 'Kaito Books',
    time_zone: 'Asia/Tokyo',
    settlement_cutoff: '00:00',
    currencies: ['JPY', 'USD'],
    people: ['haruto', 'yui'],
    unit: 380,
  },
  {
    name: 'Dalma Trading',
    time_zone: 'Asia/Kuwait',
    settlement_cutoff: '18:30',
    currencies: ['KWD'],
    people: ['noor', 'samir'],
    unit: 1_250,
  },
];

/** @typedef {{ id: string, key: string }} DemoMerchant */

/**
 * @param {{ url: string, operatorKey: string, folder: string, webhooks?: { register: (call: import('./webhook-receiver.mjs').Call) => Promise<void> } | undefined, simulator?: import('./demo-payments.mjs').SimulatorPlace | undefined, night?: boolean, bank?: import('./demo-reconciliation.mjs').BankPlace | undefined }} options
 *   folder: where the demo's keys are kept; webhooks: gets the first merchant's events; simulator: tells one more of its payments; night: worker and
 *   bank are there to settle the first merchant's yesterday and to pay it out; bank: one whose statement may be had and written to
 * @returns {Promise<{ banner: string, exampleIds: Record<string, string | undefined> }>} what to try next, and ids of the first merchant's by kind
 */
export async function seedDemo({ url, operatorKey, folder, webhooks, simulator, night = false, bank }) {
  const file = join(folder, 'demo-keys.json');
  /** @type {Record<string, DemoMerchant>} */
  const known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  /** @type {Map<string, string>} */
  const existing = new Map();
  const { data } = await call(url, 'GET', '/v1/merchants?limit=1000', operatorKey);
  for (const { id, name } of data.toReversed()) existing.set(name, id);
  /** @param {{ name: string }} merchant */
  const open = async (merchant) => {
    const { name } = merchant;
    const opened = await openMerchant(url, operatorKey, merchant, existing.get(name), known[name]);
    known[name] = opened;
    writeFileSync(`${file}.new`, `${JSON.stringify(known, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return opened;
  };
  for (const { people, unit, ...merchant } of MERCHANTS) {
    const { key } = await open(merchant);
    if (merchant.name === MERCHANTS[0]?.name)
      await webhooks?.register((method, path, body) => call(url, method, path, key, body));
    await seedHistory(url, key, merchant.currencies[0] ?? '', people, unit);
  }
  const first = /** @type {DemoMerchant} */ (Object.values(known)[0]);
  const payments = simulator && (await seedPayments({ url, shop: await open(SHOP), simulator, folder }));
  const settled = night ? await seedNight({ url, operatorKey, ...first }) : undefined;
  const reconciled = settled?.day && (await seedReconciliation({ url, operatorKey, bank, ...settled.day }));
  const exampleIds = await idsOf(url, first);
  const stories = [payments, settled, reconciled];
  return { banner: banner(url, operatorKey, known, exampleIds.accounts, stories), exampleIds };
}

/**
 * @param {string} url @param {string} operatorKey @param {{ name: string }} merchant
 * @param {string | undefined} id of the merchant, if it is there @param {DemoMerchant | undefined} known
 * @returns {Promise<DemoMerchant>}
 */
async function openMerchant(url, operatorKey, merchant, id, known) {
  if (id === undefined) {
    const created = await call(url, 'POST', '/v1/merchants', operatorKey, merchant);
    return { id: created.id, key: created.api_key.secret };
  }
  if (known?.id === id) return known;
  // The database outlived the file with its keys: a secret is shown only once, so the demo gets a new one.
  const { secret } = await call(url, 'POST', `/v1/merchants/${id}/api_keys`, operatorKey, {});
  return { id, key: secret };
}

/** @param {string} url @param {string} key @param {string} currency @param {string[]} people @param {number} unit minor units */
async function seedHistory(url, key, currency, people, unit) {
  const [first = '', second = ''] = people.map((person) => `wallet:${person}`);
  const { data } = await call(url, 'GET', '/v1/accounts?code_prefix=wallet:', key);
  for (const person of people) {
    const code = `wallet:${person}`;
    if (data.some((/** @type {{ code: string }} */ account) => account.code === code)) continue;
    const name = (person[0] ?? '').toUpperCase() + person.slice(1);
    await call(url, 'POST', '/v1/accounts', key, { code, name, currency, normal_side: 'credit', min_available: '0' });
  }
  const days = (/** @type {number} */ count) =>
    new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - count * DAY_MS).toISOString();
  /** @param {string} type @param {string} from @param {string} to @param {number} units @param {object} [more] */
  const post = (type, from, to, units, more) => {
    const entry = { amount: String(units * unit), currency };
    const entries = [
      { account_code: from, direction: 'debit', ...entry },
      { account_code: to, direction: 'credit', ...entry },
    ];
    return { type, entries, ...more };
  };
  const cash = `cash:${currency}`;
  const payable = `merchant_payable:${currency}`;
  // Keys make each of these happen once, however often the demo is started within the time that keys are kept; after
  // that an account with history tells that it has been here.
  const { data: lines } = await call(url, 'GET', '/v1/transactions?limit=1&external_ref=demo-topup-1', key);
  if (lines.length > 0) return;
  await send(
    post('topup', cash, first, 400, {
      effective_at: days(3),
      external_ref: 'demo-topup-1',
      description: 'Top-up by bank transfer',
    }),
  );
  await send(post('topup', cash, second, 160, { effective_at: days(2), external_ref: 'demo-topup-2' }));
  await send(post('transfer', first, second, 3, { effective_at: days(1), description: 'Lunch' }));
  await send(post('purchase', second, payable, 50, { external_ref: ORDER, metadata: { order: '1001' } }));
  const hold = await send(
    post('purchase', first, payable, 80, {
      status: 'pending',
      external_ref: HELD_ORDER,
      description: 'Order 1002, shipped in part',
    }),
  );
  await call(
    url,
    'POST',
    `/v1/transactions/${hold.id}/post`,
    key,
    { amount: String(5 * unit), final: false },
    `demo-capture-${hold.id}`,
  );

  /** @param {{ type: string, external_ref?: string }} body */
  async function send(body) {
    return call(url, 'POST', '/v1/transactions', key, body, `demo-${body.external_ref ?? body.type}-${currency}`);
  }
}

/** @param {string} url @param {string} method @param {string} path @param {string} key @param {unknown} [body] @param {string} [idempotencyKey] */
function call(url, method, path, key, body, idempotencyKey) {
  return callApi({ url, key, method, path, body, idempotencyKey });
}

/** What the API's documentation shows in its paths. @param {string} url @param {DemoMerchant} merchant */
async function idsOf(url, { id, key }) {
  const idAt = async (/** @type {string} */ path) => {
    const { data } = await call(url, 'GET', path, key);
    // Lists begin with the newest; what the demo made came first.
    return data.at(-1)?.id;
  };
  return {
    merchants: id,
    accounts: await idAt('/v1/accounts?code_prefix=wallet:bob'),
    empty: await idAt('/v1/accounts?code_prefix=wallet:dora'),
    transactions: await idAt(`/v1/transactions?external_ref=${ORDER}`),
    pending: await idAt(`/v1/transactions?external_ref=${HELD_ORDER}`),
    webhook_endpoints: await idAt('/v1/webhook_endpoints'),
  };
}

/** @param {string} url @param {string} operatorKey @param {Record<string, DemoMerchant>} merchants @param {string | undefined} bobId @param {(import('./demo-payments.mjs').Story | undefined)[]} stories */
function banner(url, operatorKey, merchants, bobId, stories) {
  const keys = Object.entries(merchants).map(([name, { id, key }]) => `  ${name.padEnd(17)} merchant ${id}   ${key}`);
  const { id = '', key = '' } = Object.values(merchants)[0] ?? {};
  const bob = `$URL/v1/accounts/${bobId}`;
  return `
Demo merchants and their API keys:
${keys.join('\n')}
${stories.map((story) => (story ? `\n${story.text}` : '')).join('')}
Try (paste as they are; the first request moves 12.50 EUR from Alice to Bob, once, however often you send it):

  export URL=${url}
  export OPERATOR_KEY=${operatorKey}
  export KEY=${key}
  export MERCHANT=${id}

  curl -sS -w '\\n' $URL/v1/transactions -H "Authorization: Bearer $KEY" -H "Idempotency-Key: first-try" -H "Content-Type: application/json" -d '{"type":"transfer","entries":[{"account_code":"wallet:alice","direction":"debit","amount":"1250","currency":"EUR"},{"account_code":"wallet:bob","direction":"credit","amount":"1250","currency":"EUR"}]}'

  curl -sS -w '\\n' ${bob}/balance -H "Authorization: Bearer $KEY"

  curl -sS -w '\\n' "${bob}/entries?limit=5" -H "Authorization: Bearer $KEY"
${stories.map((story) => story?.commands ?? '').join('')}`;
}
