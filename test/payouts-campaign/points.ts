import type { Fault } from '../../apps/bank-simulator/src/faults.js';
import type { Reach } from './trap.js';

/** How a payout of each destination must end. By what the destinations are, not by what the code makes of them. */
export const ENDS = {
  bank_ok: 'paid',
  bank_refused: 'failed',
  bank_returned: 'returned',
  bank_slow: 'paid',
  bank_silent: 'paid',
  bank_lost: 'paid',
  bank_twice: 'paid',
  bank_contradicts: 'paid',
} as const;

export type Destination = keyof typeof ENDS;
export const ALL = Object.keys(ENDS) as Destination[];
const TAKEN = ALL.filter((destination) => destination !== 'bank_refused');
const TOLD = TAKEN.filter((destination) => destination !== 'bank_silent');
/** Whose answer the bank changes. */
export const CHANGED: readonly Destination[] = ['bank_returned', 'bank_contradicts'];

/** Who is killed there; nobody: the connection is cut, or goes wrong, and everybody lives on. */
export type Victim = 'api' | 'worker' | 'bank' | 'nobody';

/** Of a transaction between a process and PostgreSQL. */
interface Wire {
  readonly of: 'api' | 'worker';
  readonly begins: string;
  readonly reach: Reach;
  /** What it says of its payouts, as JSON; absent: whatever it says. */
  readonly says?: RegExp;
}

export interface Point {
  readonly name: string;
  readonly victim: Victim;
  /** Whose payouts come there. */
  readonly reached: readonly Destination[];
  /** Where: at the bank's door, or on the way to PostgreSQL. */
  readonly at: readonly Partial<Fault>[] | Wire;
  /** How long the bank is away afterwards. */
  readonly awayMs?: number;
}

const HELD = { what: 'hang', times: 1_000 } as const;
const GROUP = 'write-group';
/** Of what notes that work on due rows is done, or that it is to be tried again. */
const STILL_CLAIMED = 'unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::int[])';
const REACHES: readonly Reach[] = ['nothing', 'all but COMMIT', 'all, unanswered'];
const MOVED_ON = /"destination":"bank_(?!refused)\w+","status":"(paid|failed|returned)"/;
const CHANGED_WORD =
  /"destination":"bank_returned","status":"returned"|"destination":"bank_contradicts","status":"paid"/;

/** The same transaction, interrupted at each of its points. */
function transaction(
  what: string,
  victim: Victim,
  reached: readonly Destination[],
  wire: Omit<Wire, 'reach'>,
): Point[] {
  return REACHES.map((reach) => ({ name: `${what}: ${reach}`, victim, reached, at: { ...wire, reach } }));
}

/** A request to the bank, held before and after the bank has done what it says. */
function request(route: Fault['route'], what: string, reached: readonly Destination[], spares: number): Point[] {
  return (['before', 'after'] as const).map((when) => ({
    name: `${what}: ${when}`,
    victim: 'worker',
    reached,
    at: [{ ...HELD, route, when, spares }],
  }));
}

/** The same, going wrong by itself. */
function wrong(route: Fault['route'], what: string, reached: readonly Destination[], spares: number): Point[] {
  return (['drop', 'error', 'hang'] as const).flatMap((kind) =>
    (['before', 'after'] as const).map((when) => ({
      name: `${what}: ${kind} ${when}`,
      victim: 'nobody',
      reached,
      at: [{ what: kind, route, when, spares, times: 1_000 }],
    })),
  );
}

const WORKER = { of: 'worker', begins: GROUP } as const;
const SAYS_MORE = { ...WORKER, says: MOVED_ON };
const SAYS_OTHERWISE = { ...WORKER, says: CHANGED_WORD };

export const POINTS: readonly Point[] = [
  ...transaction('the API reserves', 'api', ALL, { of: 'api', begins: GROUP }),
  ...transaction('the API reserves, cut', 'nobody', ALL, { of: 'api', begins: GROUP }),
  ...transaction('the worker claims', 'worker', ALL, {
    of: 'worker',
    begins: 'UPDATE due_rows d SET try_at = now() +',
  }),
  ...request('ask', 'the first question', ALL, 0),
  ...request('instruct', 'the instruction', ALL, 0),
  {
    name: 'the question about an instruction without an answer',
    victim: 'worker',
    reached: ALL,
    at: [
      { ...HELD, route: 'ask', spares: 1 },
      { what: 'drop', route: 'instruct', when: 'after', times: 1_000 },
    ],
  },
  ...transaction('the first answer is written', 'worker', ALL, WORKER),
  ...transaction('the first answer is written, cut', 'nobody', ALL, WORKER),
  {
    name: 'the first answer is written, and not noted as done',
    victim: 'worker',
    reached: ALL,
    at: { of: 'worker', begins: STILL_CLAIMED, reach: 'nothing' },
  },
  ...transaction('a callback is taken', 'api', TOLD, { of: 'api', begins: 'enqueue-due' }),
  ...request('ask', 'a later question', TAKEN, 1),
  ...transaction('a later answer is written', 'worker', TAKEN, SAYS_MORE),
  ...transaction('a later answer is written, cut', 'nobody', TAKEN, SAYS_MORE),
  ...transaction('another answer is written', 'worker', CHANGED, SAYS_OTHERWISE),
  ...transaction('another answer is written, cut', 'nobody', CHANGED, SAYS_OTHERWISE),
  ...wrong('ask', 'the first question goes wrong', ALL, 0),
  ...wrong('instruct', 'the instruction goes wrong', ALL, 0),
  ...wrong('ask', 'a later question goes wrong', TAKEN, 1),
  {
    name: 'the bank dies, told and silent',
    victim: 'bank',
    reached: ALL,
    at: [{ ...HELD, route: 'instruct', when: 'after' }],
  },
  { name: 'the bank dies before it is told', victim: 'bank', reached: ALL, at: [{ ...HELD, route: 'instruct' }] },
  {
    name: 'the bank dies when it is asked again',
    victim: 'bank',
    reached: TAKEN,
    at: [{ ...HELD, route: 'ask', spares: 1 }],
  },
  {
    name: 'the bank is away for a while, told and silent',
    victim: 'nobody',
    reached: ALL,
    at: [{ ...HELD, route: 'instruct', when: 'after' }],
    awayMs: 1_500,
  },
];
