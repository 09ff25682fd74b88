// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const TABLE = 'libs/payouts/src/status.spec.ts';
const WHOLE = 'test/payouts.test.ts';
const FAILURES = 'test/payout-failures.test.ts';
const CALLBACKS = 'test/bank-callbacks.test.ts';
const FEES = 'test/payout-fees.test.ts';
const RACES = 'test/payout-races.test.ts';

/**
 * Planted bugs of payouts: how money goes out twice, or is said to have.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const PAYOUT_MUTANTS = [
  ...inFile('libs/payouts/src/status.ts', TABLE, [
    [
      'paid is the end',
      "paid: { refused: [], accepted: [], paid: [], failed: ['failed'], returned: ['returned'] }",
      'paid: { refused: [], accepted: [], paid: [], failed: [], returned: [] }',
    ],
    [
      'what comes back was never paid',
      "failed: { refused: [], accepted: [], paid: ['paid'], failed: [], returned: ['paid', 'returned'] }",
      "failed: { refused: [], accepted: [], paid: ['paid'], failed: [], returned: ['returned'] }",
    ],
    [
      'what was returned is not charged',
      'merchant_payable: 0n, paidOut: 0n };',
      'merchant_payable: 0n, paidOut: 0n, fee: 0n };',
    ],
  ]),
  ...inFile('libs/payouts/src/status.ts', RACES, [
    [
      'it is reserved after it is instructed',
      'return { ...taken, payout_clearing: -amount };',
      "return positionOf('requested', { amount, fee });",
    ],
  ]),
  ...inFile('libs/payouts/src/payouts-extension.ts', RACES, [
    ['what was paid out counts as left', 'const left = settled - paidOut;', 'const left = settled;'],
  ]),
  ...inFile('libs/payouts/src/go-through.ts', RACES, [
    [
      'requests of one group do not see each other',
      'if (known) turn.learn(settledKey(currency), { ...known, paidOut: known.paidOut + more });',
      'if (!known) throw new Error(currency);',
    ],
  ]),
  ...inFile('libs/payouts/src/payouts-extension.ts', FEES, [
    ['the volume is of any currency', 'AND v.currency = k.currency', ''],
    ['the volume is of any month', "v.month = date_trunc('month',", "v.month <= date_trunc('month',"],
  ]),
  ...inFile('libs/payouts/src/payouts-extension.ts', 'test/payout-fee-months.test.ts', [
    ['the month is that of UTC', "${merchantDay('m', 'now()')}", "(now() AT TIME ZONE 'UTC')"],
  ]),
  ...inFile('libs/payouts/src/payout-submissions.ts', FEES, [
    [
      'a plan of tomorrow counts today',
      'planAt(spans.get(context.merchantId) ?? [], systemClock.now())',
      'planAt(spans.get(context.merchantId) ?? [], Infinity)',
    ],
  ]),
  ...inFile('libs/payouts/src/bank-client.ts', 'test/bank-client.test.ts', [
    ['what is said of another key counts', 'if (known?.key !== key) return', 'if (!known) return'],
  ]),
  ...inFile('libs/payouts/src/payouts-extension.ts', WHOLE, [
    ['a word without a reference forgets it', 'reference ?? row.bank_reference', 'reference ?? null'],
    ['a word that tells nothing has a code', '...(steps.length > 0 && {', '...(row && {'],
    [
      'a word of before that comes late counts',
      'if (sequence !== undefined && sequence <= row.bank_sequence) return told([]);',
      '',
    ],
  ]),
  ...inFile('libs/payouts/src/payout-timers.ts', WHOLE, [
    ['what was paid is not watched', 'return row.bank_sequence === 0 ||', "return row.status === 'paid' ||"],
    ['an instruction without an answer is asked for once', 'nextAskAt(askScheduleMs, since, nowMs)', 'since + 30_000'],
  ]),
  ...inFile('libs/payouts/src/payout-saga.ts', FAILURES, [
    [
      'each try has a key of its own',
      'const key = instructionKey(payout);',
      'const key = `${instructionKey(payout)}-${crypto.randomUUID()}`;',
    ],
    ['whoever has slept sends', 'if (deadline.expired) throw deadlineExceeded();', ''],
    [
      'it is told without being asked',
      'let known = await this.#ask(payout, span);',
      "let known: Known = isReserved ? { kind: 'absent' } : await this.#ask(payout, span);",
    ],
    ['an unknown outcome is a refusal', "if (sent.kind === 'refused') return", "if (sent.kind !== 'absent') return"],
    [
      'an unknown outcome is assumed to be a success',
      "if (sent.kind === 'accepted') return said('accepted', sent);",
      "if (sent.kind !== 'refused') return said('accepted', { sequence: 1, ...sent });",
    ],
    [
      'what the bank took and forgot is sent again',
      "if (known.kind === 'absent' && isReserved) {",
      "if (known.kind === 'absent') {",
    ],
    [
      'a bank that does not answer has not heard',
      "if (known.kind === 'unknown') throw new Error('the bank has not answered');",
      "if (known.kind === 'unknown') return said('failed', { sequence: payout.bank_sequence + 1 });",
    ],
  ]),
  ...inFile('libs/payouts/src/go-through.ts', FAILURES, [
    [
      'news without a step has no time',
      'setTimers(changed, isNew, part, turn);',
      'if (steps.length > 0) setTimers(changed, isNew, part, turn);',
    ],
  ]),
  ...inFile('libs/payouts/src/bank-callback.command.ts', CALLBACKS, [
    [
      'a callback is believed',
      'await this.database.write({ merchantIds: [merchantId] }, context.deadline, enqueueDue(PAYOUT_HINT, [due]));',
      `await this.database.write({ merchantIds: [merchantId] }, context.deadline, {
        text: 'UPDATE payouts SET status = $3, bank_sequence = $4 WHERE merchant_id = $1 AND id = $2',
        values: [due.merchantId, due.subjectId, said.data.status, said.data.sequence],
      });`,
    ],
    [
      'a callback has the row that the payout moves',
      'enqueueDue(PAYOUT_HINT, [due])',
      "enqueueDue('payout_watch', [due])",
    ],
    ['whoever calls back is the bank', 'if (!reason) return;', 'return;'],
  ]),
  ...inFile('libs/platform/src/standard-webhooks.ts', CALLBACKS, [
    ['an old signature is as good as a new one', "isStale(timestampS, clocks) ? 'stale' : undefined", 'undefined'],
  ]),
  ...inFile('libs/payouts/src/payout.commands.ts', 'test/daily-payouts.test.ts', [
    ['who asks by hand is paid out by the day', "if (found?.schedule !== 'daily')", 'if (!found)'],
    ['nothing left is a refusal', 'mayBeNothing: true', 'mayBeNothing: false'],
  ]),
];
