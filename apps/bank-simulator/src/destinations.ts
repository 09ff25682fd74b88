/** What the bank does, by the account that it is told to pay. */

export type Status = 'accepted' | 'paid' | 'failed' | 'returned';

export interface Delays {
  /** Until `bank_slow` is paid, and until `bank_contradicts` is paid after all. */
  readonly delayMs: number;
  /** Until `bank_returned` comes back. */
  readonly returnDelayMs: number;
}

interface Step {
  readonly status: Status;
  /** After what happened before it. */
  readonly after?: keyof Delays;
  readonly failureCode?: string;
}

interface Behaviour {
  /** At once, with this code. */
  readonly refuses?: string;
  /** What happens to what it accepts. */
  readonly steps: readonly Step[];
  /** How often it tells of each step. */
  readonly tells: number;
  /** The connection drops before the answer, once; it was taken. */
  readonly losesAnswer?: true;
}

const PAYS: Step = { status: 'paid' };

export const DESTINATIONS: ReadonlyMap<string, Behaviour> = new Map<string, Behaviour>([
  ['bank_ok', { steps: [PAYS], tells: 1 }],
  ['bank_refused', { refuses: 'account_closed', steps: [], tells: 0 }],
  [
    'bank_returned',
    { steps: [PAYS, { status: 'returned', after: 'returnDelayMs', failureCode: 'account_closed' }], tells: 1 },
  ],
  ['bank_slow', { steps: [{ status: 'paid', after: 'delayMs' }], tells: 1 }],
  ['bank_silent', { steps: [PAYS], tells: 0 }],
  ['bank_lost', { steps: [PAYS], tells: 1, losesAnswer: true }],
  ['bank_twice', { steps: [PAYS], tells: 2 }],
  [
    'bank_contradicts',
    {
      steps: [
        { status: 'failed', failureCode: 'account_blocked' },
        { status: 'paid', after: 'delayMs' },
      ],
      tells: 1,
    },
  ],
]);

const UNKNOWN: Behaviour = { refuses: 'unknown_destination', steps: [], tells: 0 };

export function behaviourOf(destination: string): Behaviour {
  return DESTINATIONS.get(destination) ?? UNKNOWN;
}
