import { verify } from '#platform/verify.js';
import { checksOf, ROOMS } from '../../apps/rooms.js';
import type { Json } from '../support/api.js';
import { offendersOf } from '../support/verified.js';
import { all, readXml, textAt } from '../support/xml.js';
import type { Asked } from './interrupt.js';
import { ENDS } from './points.js';
import { CURRENCY, SETTLED, type Shop, type Stage } from './stage.js';

/** What may have been posted of a payout, by how it ended: what the bank said and nobody heard is not posted. */
const POSTED: Record<string, readonly string[]> = {
  paid: ['reserved paid', 'reserved failed paid'],
  failed: ['reserved failed'],
  returned: ['reserved paid returned'],
};
const EVENTS = `
SELECT data #>> '{payout,id}' AS payout, type, count(*)::int AS times FROM events WHERE type LIKE 'payout.%' GROUP BY 1, 2`;

/** Whether every account, payout and event is what was asked for and became of it, and the bank was told each once. */
export async function judge(stage: Stage, asked: readonly Asked[]): Promise<string[]> {
  const offences: string[] = [];
  const byShop = Map.groupBy(asked, ({ shop }) => shop);
  for (const [shop, payouts] of byShop) offences.push(...(await wrongAccounts(stage, shop, payouts)));
  const { rows: events } = await stage.owner.query(EVENTS);
  for (const one of asked) offences.push(...(await wrongPayout(stage, one, events)));
  offences.push(...wrongInstructions(await stage.bank.all(), asked), ...(await wrongStatement(stage, asked)));
  const found = offendersOf(await verify(stage.on.runtimeUrl, await checksOf(ROOMS)));
  return [...offences, ...Object.entries(found).map(([name, rows]) => `${name}: ${rows}`)];
}

/** What the bank has kept of the money, by how each must have ended. */
function paidOut(payouts: readonly Asked[]): bigint {
  const paid = payouts.filter(({ shop }) => ENDS[shop.destination] === 'paid');
  return paid.reduce((sum, { amount }) => sum + amount, 0n);
}

async function wrongAccounts(stage: Stage, shop: Shop, payouts: readonly Asked[]): Promise<string[]> {
  const paid = paidOut(payouts);
  // Debits count up.
  const should = { merchant_payable: paid - SETTLED, payout_clearing: 0n, cash: -paid };
  const wrong: string[] = [];
  for (const [name, wanted] of Object.entries(should)) {
    const id = shop.accounts[`${name}:${CURRENCY}`];
    const { posted, pending } = await stage.get(`/v1/accounts/${id}/balance?consistency=strong`, shop.key);
    const [is, held] = [posted, pending].map(({ debits, credits }: Json) => BigInt(debits) - BigInt(credits));
    if (is !== wanted || held !== 0n)
      wrong.push(`${shop.destination}: ${name} has ${is} (${held}), and should have ${wanted}`);
  }
  return wrong;
}

async function wrongPayout(stage: Stage, { shop, id, amount }: Asked, events: readonly Json[]): Promise<string[]> {
  const payout = await stage.get(`/v1/payouts/${id}`, shop.key);
  const name = `${shop.destination}: payout ${id}`;
  const wrong: string[] = [];
  const should = { amount: String(amount), status: ENDS[shop.destination] };
  for (const [field, value] of Object.entries(should))
    if (payout[field] !== value) wrong.push(`${name}: its ${field} is ${payout[field]}, and should be ${value}`);
  const types: string[] = [];
  for (const transaction of payout.transactions)
    types.push((await stage.get(`/v1/transactions/${transaction}`, shop.key)).type.replace('payout.', ''));
  if (!POSTED[should.status]?.includes(types.join(' '))) wrong.push(`${name}: ${types.join(' ')} was posted`);
  const told = events.filter((event) => event.payout === id).map(({ type, times }) => `${type} ${times}`);
  const tellable = types.filter((type) => type !== 'reserved').map((type) => `payout.${type} 1`);
  if (told.sort().join() !== tellable.sort().join())
    wrong.push(`${name}: was told as ${told}, and should be as ${tellable}`);
  return wrong;
}

/** Each payout is one instruction, as it was asked for, and there is none besides. */
function wrongInstructions(instructions: readonly Json[], asked: readonly Asked[]): string[] {
  const by = Map.groupBy(instructions, ({ reference }) => reference as string);
  const wrong = asked.flatMap(({ shop, id, amount }) => {
    const is = (by.get(id) ?? []).map((one) => `${one.amount} ${one.currency} ${one.destination} ${one.status}`);
    const end = shop.destination === 'bank_refused' ? 'refused' : ENDS[shop.destination];
    const should = `${amount} ${CURRENCY} ${shop.destination} ${end}`;
    return is.join() === should ? [] : [`the bank has of payout ${id}: ${is.join()}, and should have ${should}`];
  });
  const more = instructions.length - asked.length;
  return more === 0 ? wrong : [...wrong, `the bank has ${more} instructions more than there are payouts`];
}

/** Its statements of today and, around midnight, the day before close with what its customer's books say of cash. */
async function wrongStatement(stage: Stage, asked: readonly Asked[]): Promise<string[]> {
  const today = new Date().toISOString().slice(0, 10);
  const { text } = await stage.bank.client.get(`/statements/${today}?account=COUNTERFOIL-${CURRENCY}`);
  const [statement] = all(readXml(text), 'BkToCstmrStmt/Stmt');
  const closing = statement && all(statement, 'Bal').at(-1);
  const is = closing && `${textAt(closing, 'CdtDbtInd')} ${BigInt(textAt(closing, 'Amt').replace('.', ''))}`;
  const should = `DBIT ${paidOut(asked)}`;
  return is === should ? [] : [`the bank's statement closes with ${is}, and should with ${should}`];
}
