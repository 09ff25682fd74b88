import type { PlannedPayment, PlannedRow } from '../support/matching.js';

/** The clauses of the law of matching, each by an example that was computed by hand (docs/adr/0030). */

export interface Example {
  title: string;
  payments?: PlannedPayment[];
  rows: PlannedRow[];
  /** By line: the rule and the line that the match is named by. */
  matches: Record<number, string | null>;
  items?: Record<string, number>;
  /** Line, kind and, where it holds one, the item. */
  breaks?: [line: number, kind: string, item?: string][];
}

const P: PlannedPayment = { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] };
/** Of the payment `P`. */
const row = (line: number, gross: number, object?: string, more: Partial<PlannedRow> = {}): PlannedRow => {
  return { line, ref: 'P', gross, ...(object !== undefined && { object }), ...more };
};

export const NAMED: Example[] = [
  {
    title: 'the same object and amount',
    payments: [P],
    rows: [row(2, 1_000, 'c')],
    matches: { 2: 'exact 2' },
    items: { 'payment/c': 2 },
  },
  {
    title: 'two captures, each by its own object, in whatever order',
    payments: [
      {
        ref: 'P',
        captures: [
          { ref: 'a', amount: 400 },
          { ref: 'b', amount: 600 },
        ],
      },
    ],
    rows: [row(2, 600, 'b'), row(3, 400, 'a')],
    matches: { 2: 'exact 2', 3: 'exact 3' },
    items: { 'payment/a': 3, 'payment/b': 2 },
  },
  {
    title: 'a further row with the object is a duplicate',
    payments: [P],
    rows: [row(2, 1_000, 'c'), row(3, 1_000, 'c')],
    matches: { 2: 'exact 2', 3: null },
    items: { 'payment/c': 2 },
    breaks: [[3, 'duplicate']],
  },
  {
    title: 'the row of the very amount has the item, also where another one comes first',
    payments: [P],
    rows: [row(2, 900, 'c'), row(3, 1_000, 'c')],
    matches: { 2: null, 3: 'exact 3' },
    items: { 'payment/c': 3 },
    breaks: [[2, 'duplicate']],
  },
  {
    title: 'rows of one object that come to its amount are one match',
    payments: [P],
    rows: [row(2, 300, 'c'), row(3, 700, 'c')],
    matches: { 2: 'sum 2', 3: 'sum 2' },
    items: { 'payment/c': 2 },
  },
  {
    title: 'another amount: the break has row and item',
    payments: [P],
    rows: [row(2, 1_001, 'c'), row(3, 990, 'c')],
    matches: { 2: null, 3: null },
    breaks: [
      [2, 'amount_mismatch', 'payment/c'],
      [3, 'duplicate'],
    ],
  },
  {
    title: 'a capture that failed was not to be told',
    payments: [{ ref: 'P', captures: [{ ref: 'c', amount: 1_000, status: 'failed' }] }],
    rows: [row(2, 1_000, 'c'), row(3, 1_000, 'c')],
    matches: { 2: null, 3: null },
    breaks: [
      [2, 'status_mismatch', 'payment/c'],
      [3, 'duplicate'],
    ],
  },
  {
    title: 'a refund is below zero, and no capture',
    payments: [{ ref: 'P', captures: [{ ref: 'c', amount: 1_000 }], refunds: [{ ref: 'r', amount: 1_000 }] }],
    rows: [row(2, -1_000, 'r', { type: 'refund' }), row(3, 1_000, 'r', { type: 'refund' }), row(4, 1_000, 'c')],
    matches: { 2: 'exact 2', 3: null, 4: 'exact 4' },
    items: { 'payment/c': 4, 'refund/r': 2 },
    breaks: [[3, 'duplicate']],
  },
];

export const PAYMENTS: Example[] = [
  {
    title: 'a reference that nothing has',
    payments: [P],
    rows: [{ line: 2, ref: 'Q', gross: 1_000 }],
    matches: { 2: null },
    breaks: [[2, 'missing_in_ledger']],
  },
  {
    title: 'another provider’s payment of the same reference is another payment',
    payments: [{ ...P, provider: 'stripe' }],
    rows: [row(2, 1_000, 'x')],
    matches: { 2: null },
    breaks: [[2, 'missing_in_ledger']],
  },
  {
    title: 'a reference that nothing has, and an object that a payment has',
    payments: [P],
    rows: [
      { line: 2, ref: 'Q', object: 'c', gross: 1_000 },
      { line: 3, object: 'c', gross: 1_000 },
    ],
    matches: { 2: 'exact 2', 3: null },
    items: { 'payment/c': 2 },
    breaks: [[3, 'duplicate']],
  },
  {
    title: 'an object of several payments is of none of them',
    payments: [P, { ref: 'R', captures: [{ ref: 'c', amount: 1_000 }] }],
    rows: [{ line: 2, object: 'c', gross: 1_000 }],
    matches: { 2: null },
    breaks: [[2, 'ambiguous']],
  },
  {
    title: 'never by amount alone: a payment of that amount under another reference is not meant',
    payments: [P],
    rows: [{ line: 2, ref: 'Q', gross: 1_000 }],
    matches: { 2: null },
    breaks: [[2, 'missing_in_ledger']],
  },
  {
    title: 'another currency holds the item that it names',
    payments: [P],
    rows: [row(2, 1_000, 'c', { currency: 'USD' }), row(3, 1_000, 'c', { currency: 'USD' })],
    matches: { 2: null, 3: null },
    breaks: [
      [2, 'currency_mismatch', 'payment/c'],
      [3, 'currency_mismatch'],
    ],
  },
  {
    title: 'another currency holds nothing that a row of the right one has',
    payments: [P],
    rows: [row(2, 1_000, 'c', { currency: 'USD' }), row(3, 1_000, 'c')],
    matches: { 2: null, 3: 'exact 3' },
    items: { 'payment/c': 3 },
    breaks: [[2, 'currency_mismatch']],
  },
];

const THREE = [{ amount: 500 }, { amount: 500 }, { amount: 200 }];
export const UNNAMED: Example[] = [
  {
    title: 'one of the amount',
    payments: [P],
    rows: [row(2, 1_000)],
    matches: { 2: 'pairs 2' },
    items: { 'payment/c': 2 },
  },
  {
    title: 'an object that no item has counts as none',
    payments: [P],
    rows: [row(2, 1_000, 'other')],
    matches: { 2: 'pairs 2' },
    items: { 'payment/c': 2 },
  },
  {
    title: 'as many rows as items: in order',
    payments: [
      {
        ref: 'P',
        captures: [
          { ref: 'late', amount: 500, day: 2 },
          { ref: 'soon', amount: 500 },
        ],
      },
    ],
    rows: [row(2, 500), row(3, 500)],
    matches: { 2: 'pairs 2', 3: 'pairs 3' },
    items: { 'payment/soon': 2, 'payment/late': 3 },
  },
  {
    title: 'items without objects are told apart by their amounts and their order',
    payments: [{ ref: 'P', captures: THREE }],
    rows: [row(2, 500), row(3, 500), row(4, 200)],
    matches: { 2: 'pairs 2', 3: 'pairs 3', 4: 'pairs 4' },
    items: { 'payment/#500.1': 2, 'payment/#500.2': 3, 'payment/#200.1': 4 },
  },
  {
    title: 'fewer rows than items: nobody knows which',
    payments: [{ ref: 'P', captures: THREE }],
    rows: [row(2, 500), row(3, 200)],
    matches: { 2: null, 3: 'pairs 3' },
    items: { 'payment/#200.1': 3 },
    breaks: [[2, 'ambiguous']],
  },
  {
    title: 'what is ambiguous is no part of a sum',
    payments: [{ ref: 'P', captures: [{ amount: 500 }, { amount: 500 }] }],
    rows: [row(2, 500), row(3, 1_000)],
    matches: { 2: null, 3: null },
    breaks: [
      [2, 'ambiguous'],
      [3, 'missing_in_ledger'],
    ],
  },
  {
    title: 'more rows than items: the rest are duplicates',
    payments: [P],
    rows: [row(2, 1_000), row(3, 1_000)],
    matches: { 2: 'pairs 2', 3: null },
    items: { 'payment/c': 2 },
    breaks: [[3, 'duplicate']],
  },
  {
    title: 'one row for several items',
    payments: [
      {
        ref: 'P',
        captures: [
          { ref: 'a', amount: 400 },
          { ref: 'b', amount: 600 },
        ],
      },
    ],
    rows: [row(2, 1_000)],
    matches: { 2: 'sum 2' },
    items: { 'payment/a': 2, 'payment/b': 2 },
  },
  {
    title: 'several rows for one item',
    payments: [P],
    rows: [row(2, 400), row(3, 600, 'other')],
    matches: { 2: 'sum 2', 3: 'sum 2' },
    items: { 'payment/c': 2 },
  },
  {
    title: 'sums of other amounts are no match',
    payments: [P],
    rows: [row(2, 400), row(3, 601)],
    matches: { 2: null, 3: null },
    breaks: [
      [2, 'missing_in_ledger'],
      [3, 'missing_in_ledger'],
    ],
  },
  {
    title: 'one row and one item are left: their amounts differ',
    payments: [P],
    rows: [row(2, 999)],
    matches: { 2: null },
    breaks: [[2, 'amount_mismatch', 'payment/c']],
  },
  {
    title: 'what the payment has not: missing, and its items stay',
    payments: [
      {
        ref: 'P',
        captures: [
          { ref: 'a', amount: 400 },
          { ref: 'b', amount: 500 },
        ],
      },
    ],
    rows: [row(2, 999)],
    matches: { 2: null },
    breaks: [[2, 'missing_in_ledger']],
  },
];

export const DISPUTED: Example[] = [
  {
    title: 'an open chargeback takes its amount',
    payments: [{ ref: 'P', disputes: [{ ref: 'd', amount: 300 }] }],
    rows: [row(2, -300, 'd', { type: 'dispute' })],
    matches: { 2: 'exact 2' },
    items: { 'dispute/d': 2 },
  },
  {
    title: 'an inquiry takes nothing',
    payments: [{ ref: 'P', disputes: [{ ref: 'd', amount: 300, stage: 'inquiry' }] }],
    rows: [row(2, -300, 'd', { type: 'dispute' })],
    matches: { 2: null },
    breaks: [[2, 'missing_in_ledger']],
  },
  {
    title: 'what was withdrawn and given back, as it is told',
    payments: [{ ref: 'P', disputes: [{ ref: 'd', amount: 300, withdrawn: 310, reinstated: 200 }] }],
    rows: [row(2, -310, 'd', { type: 'dispute' }), row(3, 200, 'd', { type: 'dispute_reversed' })],
    matches: { 2: 'exact 2', 3: 'exact 3' },
    items: { 'dispute/d': 2, 'dispute_reversed/d': 3 },
  },
  {
    title: 'a chargeback that is won gives its amount back',
    payments: [{ ref: 'P', disputes: [{ ref: 'd', amount: 300, outcome: 'won' }] }],
    rows: [row(2, -300, 'd', { type: 'dispute' }), row(3, 300, 'd', { type: 'dispute_reversed' })],
    matches: { 2: 'exact 2', 3: 'exact 3' },
    items: { 'dispute/d': 2, 'dispute_reversed/d': 3 },
  },
];

export const BESIDE: Example[] = [
  {
    title: 'a fee that the ledger was told otherwise',
    payments: [{ ...P, settlements: [{ ref: 'B', amount: 1_000, fee: 30 }] }],
    rows: [row(2, 1_000, 'c', { fee: 31 })],
    matches: { 2: 'exact 2' },
    items: { 'payment/c': 2 },
    breaks: [[2, 'fee_mismatch']],
  },
  {
    title: 'fees are held against each other by payment, not by capture',
    payments: [
      {
        ref: 'P',
        captures: [
          { ref: 'a', amount: 400 },
          { ref: 'b', amount: 600 },
        ],
        settlements: [{ amount: 1_000, fee: 30 }],
      },
    ],
    rows: [row(2, 400, 'a', { fee: 10 }), row(3, 600, 'b', { fee: 20 })],
    matches: { 2: 'exact 2', 3: 'exact 3' },
    items: { 'payment/a': 2, 'payment/b': 3 },
  },
  {
    title: 'a fee of which nothing is told is not compared, nor one of what is not wholly settled',
    payments: [P, { ref: 'Q', captures: [{ ref: 'q', amount: 500 }], settlements: [{ amount: 400, fee: 1 }] }],
    rows: [row(2, 1_000, 'c', { fee: 31 }), { line: 3, ref: 'Q', object: 'q', gross: 500, fee: 9 }],
    matches: { 2: 'exact 2', 3: 'exact 3' },
    items: { 'payment/c': 2, 'payment/q': 3 },
  },
  {
    title: 'a time more than seven days away',
    payments: [P, { ref: 'Q', captures: [{ ref: 'q', amount: 500 }] }],
    rows: [row(2, 1_000, 'c', { day: 8 }), { line: 3, ref: 'Q', object: 'q', gross: 500, day: -7 }],
    matches: { 2: 'exact 2', 3: 'exact 3' },
    items: { 'payment/c': 2, 'payment/q': 3 },
    breaks: [[2, 'date_mismatch']],
  },
  {
    title: 'the same row twice in a report',
    payments: [P],
    rows: [row(2, 1_000, 'c', { identity: 'one' }), row(3, 1_000, 'c', { identity: 'one' })],
    matches: { 2: 'exact 2' },
    items: { 'payment/c': 2 },
    breaks: [[3, 'duplicate']],
  },
  {
    title: 'fees and the like without a batch are told, and no more',
    rows: [
      { line: 2, type: 'fee', gross: -5 },
      { line: 3, type: 'other', gross: 5, batch: '4' },
    ],
    matches: { 2: 'told 2', 3: null },
  },
];
