import { feeOf } from '#fees/fee.js';
import { MAX_AMOUNT } from '#kernel/money.js';
import { insertPayableItems } from '#ledger/accounts/payable-items.js';
import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import { merchantDay } from '#ledger/reading/merchant-day.js';
import type { Answer, GroupExtension } from '#ledger/writing/group-extension.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import { goThrough } from './go-through.js';
import { requestedPayoutBody } from './payout-body.js';
import {
  type KnownToPayouts,
  type PayoutPart,
  type PayoutTurn,
  type PayoutWrite,
  payoutKey,
  type RequestPayout,
  type Settled,
  settledKey,
  type TellPayout,
} from './payout-part.js';
import { PAYOUT_JSON, type PayoutRow } from './payout-rows.js';
import { transition } from './status.js';

/** $1 merchants and $2 payouts; $3 merchants and $4 currencies. */
const LOOK_UP = `
SELECT k.merchant_id, 'payout ' || k.id AS key, p.known
  FROM unnest($1::bigint[], $2::bigint[]) AS k (merchant_id, id)
  CROSS JOIN LATERAL (SELECT ${PAYOUT_JSON} AS known FROM payouts p WHERE p.merchant_id = k.merchant_id AND p.id = k.id) p
UNION ALL
SELECT k.merchant_id, 'settled ' || k.currency,
       json_build_object('settled', coalesce(b.settled, 0)::text, 'paidOut', coalesce(b.paid_out, 0)::text, 'volume', coalesce(v.gross, 0)::text)
  FROM unnest($3::bigint[], $4::text[]) AS k (merchant_id, currency)
  JOIN merchants m ON m.id = k.merchant_id
  LEFT JOIN settled_balances b ON b.merchant_id = k.merchant_id AND b.currency = k.currency
  LEFT JOIN fee_volumes v ON v.merchant_id = k.merchant_id AND v.currency = k.currency
                         AND v.month = date_trunc('month', ${merchantDay('m', 'now()')})::date`;

const CHANGEABLE = 'status, bank_reference, failure_code, transactions, timeline, bank_sequence';

function insertPayouts(rows: string): string {
  return `
  INSERT INTO payouts (merchant_id, id, created_at, amount, currency, fee, destination, trace_context, ${CHANGEABLE})
  SELECT merchant_id, id, snowflake_time(id), amount, currency, fee, destination, trace_context, ${CHANGEABLE}
    FROM json_populate_recordset(NULL::payouts, ${rows}::json)`;
}

/** $1 new payouts, $2 changed ones, $3 items, $4 what more is paid out: JSON, an object a row. */
const WRITE = `
WITH requested AS (${insertPayouts('$1')}
), changed AS (${insertPayouts('$2')}
  ON CONFLICT (merchant_id, id) DO UPDATE SET (${CHANGEABLE}) = ROW (${CHANGEABLE.replaceAll(/\b[a-z_]+\b/g, 'excluded.$&')})
), items AS (${insertPayableItems(3)}
)
INSERT INTO settled_balances AS b (merchant_id, currency, paid_out)
SELECT merchant_id, currency, paid_out FROM json_populate_recordset(NULL::settled_balances, $4::json)
    ON CONFLICT (merchant_id, currency) DO UPDATE SET paid_out = b.paid_out + excluded.paid_out`;

/** Payouts in commit groups: what is asked for is reserved, what the bank has said is posted, with all that follows. */
export const PAYOUTS: GroupExtension<PayoutPart, KnownToPayouts, PayoutWrite> = {
  name: 'payouts',
  lookUp: {
    text: LOOK_UP,
    values: (asked) => {
      const payouts = new Map<string, [bigint, bigint]>();
      const settled = new Map<string, [bigint, string]>();
      for (const { merchantId, part } of asked) {
        const { ask } = part;
        if (ask.kind === 'tell') payouts.set(`${merchantId} ${ask.id}`, [merchantId, ask.id]);
        else settled.set(`${merchantId} ${ask.currency}`, [merchantId, ask.currency]);
      }
      const [told, wanted] = [[...payouts.values()], [...settled.values()]];
      return [
        int8Array(told.map(([merchantId]) => merchantId)),
        int8Array(told.map(([, id]) => id)),
        int8Array(wanted.map(([merchantId]) => merchantId)),
        textArray(wanted.map(([, currency]) => currency)),
      ];
    },
    known: (row) => ({
      merchantId: row.merchant_id as bigint,
      key: row.key as string,
      value: knownOf(JSON.parse(row.known as string)),
    }),
  },
  decide: (part, turn) => (part.ask.kind === 'request' ? request(part, part.ask, turn) : tell(part, part.ask, turn)),
  write: { text: WRITE, values: (writes) => split(writes).map((rows) => JSON.stringify(rows)) },
};

function knownOf(known: PayoutRow | Record<keyof Settled, string>): KnownToPayouts {
  if ('id' in known) return known;
  return { settled: BigInt(known.settled), paidOut: BigInt(known.paidOut), volume: BigInt(known.volume) };
}

/** New payouts, changed ones, items, and what more is paid out: of each row its last state, and a row once. */
function split(writes: readonly PayoutWrite[]): unknown[][] {
  const [made, changed] = [new Map<string, PayoutRow>(), new Map<string, PayoutRow>()];
  const more = new Map<string, { merchant_id: string; currency: string; paid_out: bigint }>();
  for (const write of writes) {
    if (write.table === 'payouts') {
      const { id } = write.row;
      (write.isNew || made.has(id) ? made : changed).set(id, write.row);
    } else if (write.table === 'settled_balances') {
      const { merchantId, currency } = write;
      const paid_out = (more.get(`${merchantId} ${currency}`)?.paid_out ?? 0n) + write.more;
      more.set(`${merchantId} ${currency}`, { merchant_id: String(merchantId), currency, paid_out });
    }
  }
  const items = writes.flatMap((write) => (write.table === 'payable_items' ? [write.row] : []));
  const paidOut = [...more.values()].map((row) => ({ ...row, paid_out: String(row.paid_out) }));
  return [[...made.values()], [...changed.values()], items, paidOut];
}

/** Reserves what is to be paid, so that nothing else can be: before the bank hears of it. */
function request(part: PayoutPart, ask: RequestPayout, turn: PayoutTurn): Answer | Refused {
  const { currency, destination, rules } = ask;
  const { settled, paidOut, volume } = turn.known(settledKey(currency)) as Settled;
  const left = settled - paidOut;
  const amount = ask.amount ?? (left < MAX_AMOUNT ? left : MAX_AMOUNT);
  if (amount <= 0n && ask.mayBeNothing) return { status: 200, response: '{}' };
  if (amount <= 0n || amount > left) {
    const detail = `${left > 0n ? left : 0n} ${currency} are settled and not paid out.`;
    return refuse('insufficient_funds', ask.amount === undefined ? detail : `${detail} ${amount} were asked for.`);
  }
  if (amount > MAX_AMOUNT) return refuse('amount_out_of_range', `One payout is of at most ${MAX_AMOUNT}.`, 'amount');
  const { fee } = feeOf(rules, { appliesTo: 'payout', currency, amount, volumeBefore: volume });
  const row: PayoutRow = {
    merchant_id: String(turn.merchantId),
    id: String(turn.nextId()),
    amount: String(amount),
    currency,
    fee: String(fee),
    destination,
    status: 'requested',
    bank_reference: null,
    failure_code: null,
    transactions: [],
    timeline: [],
    bank_sequence: 0,
    trace_context: turn.traceContext ?? null,
  };
  const gone = goThrough(row, ['requested', 'reserved'], part, turn);
  if ('accepted' in gone) return gone;
  const named = new Map(Object.values(part.accounts).map((account) => [account.id, account]));
  return { status: 202, response: JSON.stringify(requestedPayoutBody(gone.row, named, gone.balances)) };
}

/** Follows the bank's word, if it is a later one than the one that stands. Answers whether anything came of it. */
function tell(part: PayoutPart, ask: TellPayout, turn: PayoutTurn): Answer | Refused {
  const row = turn.known(payoutKey(ask.id)) as PayoutRow | undefined;
  if (!row) return refuse('not_found', 'There is no such payout.');
  const { word, sequence, reference, failureCode } = ask;
  if (sequence !== undefined && sequence <= row.bank_sequence) return told([]);
  const steps = transition(row.status, word);
  const isFailure = word === 'refused' || word === 'failed' || word === 'returned';
  const heard: PayoutRow = {
    ...row,
    bank_sequence: sequence ?? row.bank_sequence,
    bank_reference: reference ?? row.bank_reference,
    ...(steps.length > 0 && { failure_code: isFailure ? (failureCode ?? word) : null }),
  };
  const gone = goThrough(heard, steps, part, turn);
  return 'accepted' in gone ? gone : told(steps);
}

function told(steps: readonly string[]): Answer {
  return { status: 200, response: JSON.stringify(steps) };
}
