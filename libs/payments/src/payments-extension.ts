import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { insertPayableItems } from '#ledger/accounts/payable-items.js';
import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import type { Answer, GroupExtension } from '#ledger/writing/group-extension.js';
import { leaveLetters, settleLetters } from '#outbox/dead-letters/room-letters.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import { type Added, addFacts } from './add-facts.js';
import type { Addition, LetterWrite, NewFact, PaymentTurn, PaymentWrite } from './addition.js';
import type { Fact } from './facts.js';
import { KnownPayment, NOTHING_KNOWN } from './known-payment.js';
import { changedPaymentBody } from './payment-body.js';
import type { ChangePayment, OpenPayment, PaymentOptions, PaymentPart, SettleParked } from './payment-part.js';
import { FACT_JSON, type FactRow, PAYMENT_JSON, type PaymentRow } from './payment-rows.js';
import { tellFact } from './tell-fact.js';
import { expire } from './timers/expire-payment.js';
import { settleParked } from './timers/settle-parked.js';
import { judge } from './transitions.js';

/**
 * Facts of one subject in one row, with the payment that they amount to, if they do. $1 merchants, $2 subjects. The plan is made once,
 * perhaps while the tables are empty and every index is as good as another: only the one of subjects has them in their order.
 */
const LOOK_UP = `
SELECT k.merchant_id, k.subject, p.payment, f.facts,
       EXISTS (SELECT FROM provider_queries q
                WHERE q.merchant_id = k.merchant_id AND q.provider = split_part(k.subject, '/', 1)) AS is_asked
  FROM unnest($1::bigint[], $2::text[]) AS k (merchant_id, subject)
  LEFT JOIN LATERAL (SELECT p.subject, ${PAYMENT_JSON} AS payment FROM payments p
                      WHERE p.merchant_id = k.merchant_id AND p.subject >= k.subject ORDER BY p.subject LIMIT 1) p
    ON p.subject = k.subject
  CROSS JOIN LATERAL (SELECT coalesce(json_agg(${FACT_JSON}), '[]') AS facts FROM payment_facts f
                       WHERE f.merchant_id = k.merchant_id AND f.subject = k.subject) f`;

const CHANGEABLE = `capture, description, metadata, expires_at, status, currency, amount, amount_authorised, amount_capturable,
  amount_captured, amount_refunded, amount_disputed, amount_settled, parts, transactions, effective_until`;
const FACT_COLUMNS = `occurred_at, source, event_id, type, amount, currency, object_ref, more, outcome, reason, contradicts, applied_before, transaction_id, trace_context`;

function insertPayments(rows: string): string {
  return `
  INSERT INTO payments (merchant_id, id, subject, created_at, provider, provider_ref, ${CHANGEABLE})
  SELECT merchant_id, id, subject, snowflake_time(id), provider, provider_ref, ${CHANGEABLE}
    FROM json_populate_recordset(NULL::payments, ${rows}::json)`;
}

function insertFacts(rows: string): string {
  return `
  INSERT INTO payment_facts (merchant_id, subject, fact_id, id, received_at, ${FACT_COLUMNS})
  SELECT merchant_id, subject, fact_id, id, snowflake_time(id), ${FACT_COLUMNS}
    FROM json_populate_recordset(NULL::payment_facts, ${rows}::json)`;
}

/**
 * $1 new payments, $2 changed ones, $3 new facts, $4 facts of which something else has come, $5 and $6 dead letters, $7 items of
 * entries on merchant_payable: JSON, an object a row. What is there is found by its key as a conflict: a join, planned while the table is empty, would read all payments of the merchant.
 */
const WRITE = `
WITH opened AS (${insertPayments('$1')}
), changed AS (${insertPayments('$2')}
  ON CONFLICT (merchant_id, id) DO UPDATE SET (${CHANGEABLE}) = ROW (${CHANGEABLE.replaceAll(/\b[a-z_]+\b/g, 'excluded.$&')})
), told AS (${insertFacts('$3')}
), left_letters AS (${leaveLetters(5)}
), settled_letters AS (${settleLetters(6)}
), items AS (${insertPayableItems(7)}
)${insertFacts('$4')}
  ON CONFLICT (merchant_id, subject, fact_id) DO UPDATE
    SET outcome = excluded.outcome, reason = excluded.reason, applied_before = excluded.applied_before,
        transaction_id = excluded.transaction_id`;

/** Payments in commit groups: what is asked or told of them becomes facts, and all that follows commits with these. */
export const PAYMENTS: GroupExtension<PaymentPart, KnownPayment, PaymentWrite> = {
  name: 'payments',
  lookUp: {
    text: LOOK_UP,
    values: (asked) => {
      const once = new Map(
        asked.map(({ merchantId, part }) => [`${merchantId} ${part.subject}`, { merchantId, part }]),
      );
      const all = [...once.values()];
      return [int8Array(all.map(({ merchantId }) => merchantId)), textArray(all.map(({ part }) => part.subject))];
    },
    known: (row) => ({
      merchantId: row.merchant_id as bigint,
      key: row.subject as string,
      value: KnownPayment.of(
        JSON.parse((row.payment as string | null) ?? 'null'),
        JSON.parse(row.facts as string),
        row.is_asked as boolean,
      ),
    }),
  },
  decide(part, turn) {
    const known = turn.known(part.subject) ?? NOTHING_KNOWN;
    const { ask } = part;
    const asked = { ...part, known };
    if (ask.kind === 'tell') return tellFact(asked, ask, turn);
    if (ask.kind === 'expire') return expire(asked, turn);
    if (isAboutParked(ask)) return settleParked(asked, ask, turn);
    if (known.facts.size + 2 > part.options.factsMax) {
      return refuse('invalid_transition', `A payment has at most ${part.options.factsMax} facts.`);
    }
    return ask.kind === 'open' ? open(asked, ask, turn) : change(asked, ask, turn);
  },
  write: {
    text: WRITE,
    values: (writes) => {
      const [opened, changed] = split(writes, 'payments');
      const [told, come] = split(writes, 'payment_facts');
      const letters = lettersOf(writes);
      const items = writes.flatMap((write) => (write.table === 'payable_items' ? [write.row] : []));
      return [opened, changed, told, come, ...letters, items].map((rows) => JSON.stringify(rows));
    },
  },
};

/** Of each row its last state: those that this group made, and those that were there. */
function split(writes: readonly PaymentWrite[], table: 'payments' | 'payment_facts'): [unknown[], unknown[]] {
  const rows = new Map<string, { isNew: boolean; row: FactRow | PaymentRow }>();
  for (const write of writes) {
    if (write.table !== table) continue;
    const { row } = write;
    const name = `${row.merchant_id} ${'fact_id' in row ? `${row.subject} ${row.fact_id}` : row.id}`;
    rows.set(name, { isNew: write.isNew || (rows.get(name)?.isNew ?? false), row });
  }
  const all = [...rows.values()];
  return [
    all.filter(({ isNew }) => isNew).map(({ row }) => row),
    all.filter(({ isNew }) => !isNew).map(({ row }) => row),
  ];
}

/** Of each letter what was said last: those that are left, and those that are settled. */
function lettersOf(writes: readonly PaymentWrite[]): [unknown[], unknown[]] {
  const letters = new Map<string, LetterWrite>();
  for (const write of writes) {
    if (write.table !== 'dead_letters') continue;
    const { merchant_id, subject_id } = 'open' in write ? write.open : write.settle;
    letters.set(`${merchant_id} ${subject_id}`, write);
  }
  const all = [...letters.values()];
  return [
    all.flatMap((letter) => ('open' in letter ? [letter.open] : [])),
    all.flatMap((letter) => ('settle' in letter ? [letter.settle] : [])),
  ];
}

function isAboutParked(ask: PaymentPart['ask']): ask is SettleParked {
  return ask.kind === 'give_up' || ask.kind === 'redrive' || ask.kind === 'discard';
}

type Asked = Omit<Addition, 'added' | 'attributes'> & { readonly options: PaymentOptions };

function open(asked: Asked, { amount, currency, attributes }: OpenPayment, turn: PaymentTurn): Answer | Refused {
  const { row, facts } = asked.known;
  if ([...facts.values()].some(({ fact }) => fact.source === 'request' && fact.type === 'authorised')) {
    return refuse('invalid_transition', `Payment ${row?.id} was opened with this provider_ref before.`);
  }
  const authorised = claim(turn, { type: 'authorised', amount, currency });
  const said = { type: 'captured', amount, currency, final: true } as const;
  const isHeld = attributes.capture === 'manual';
  const added = isHeld ? [authorised] : [authorised, claim(turn, said)];
  const expires_at = isHeld ? isoTime(authorised.fact.occurredAtMs + asked.options.authorisationExpiryMs) : null;
  return answer(201, asked, addFacts({ ...asked, added, attributes: { ...attributes, expires_at } }, turn));
}

const FACT_OF = { capture: 'captured', void: 'voided', refund: 'refunded' } as const;

function change(asked: Asked, { kind, amount, final }: ChangePayment, turn: PaymentTurn): Answer | Refused {
  const { known, options } = asked;
  const standing = known.position(options);
  if (!standing.exists) return refuse('not_found', 'There is no such payment.');
  const verdict = judge(standing, { request: kind, ...(amount !== undefined && { amount }) }, options);
  if (!verdict.legal) return refuse(verdict.code, verdict.detail);
  const said = { type: FACT_OF[kind], amount: verdict.amount, currency: standing.currency };
  const fact = claim(turn, kind === 'capture' ? { ...said, final: final ?? true } : said);
  return answer(200, asked, addFacts({ ...asked, added: [fact], attributes: {} }, turn));
}

/** What the merchant claims by its request, from the moment in which it is accepted. */
function claim(turn: PaymentTurn, said: Pick<Fact, 'type' | 'amount' | 'currency' | 'final'>): NewFact {
  const id = turn.nextId();
  const name = `request:${id}`;
  const isObject = said.type === 'captured' || said.type === 'refunded';
  const fact: Fact = {
    id: name,
    source: 'request',
    amountKind: 'delta',
    occurredAtMs: snowflakeTimeMs(id),
    ...said,
    ...(isObject && { objectRef: String(id) }),
  };
  return { id, eventId: name, fact };
}

function answer(status: number, { accounts }: Asked, changed: Added | Refused): Answer | Refused {
  if ('accepted' in changed) return changed;
  const { known, posted } = changed;
  if (!known.row) throw new Error('a request that made no payment');
  return { status, response: JSON.stringify(changedPaymentBody(known.row, accounts.accounts, posted?.balances)) };
}
