/** An alert. What fires it here fires it in a drill, only sooner: with a shorter window and `for`, and where it tells an age, a lower limit. */
export interface Alert {
  readonly name: string;
  /** `page`: somebody gets up. `ticket`: somebody looks in the morning. */
  readonly severity: 'page' | 'ticket';
  readonly summary: string;
  /** In PromQL; `window`: of its rates; `above`: its limit. */
  readonly expr: (window: string, above: number) => string;
  readonly above: number;
  /** The same in a drill. */
  readonly drillAbove?: number;
  readonly forMinutes: number;
  /** Of `npm run drills`: what makes it fire on a running service. */
  readonly drill: DrillName;
  readonly trials: Trials;
}

/**
 * For `promtool test rules`: series, a value each minute. Numbers are written here again and not taken from the alert, so that one
 * whose limit, `for` or expression is changed is noticed.
 */
export interface Trials {
  /** Series of which each alone makes it fire, while the others go on as they begin. Without them it is quiet. */
  readonly alone: Readonly<Record<string, string>>;
  /** What is there in each trial, and makes nothing fire. */
  readonly beside?: Readonly<Record<string, string>>;
  /** Labels that the alert has of the series that makes it fire. */
  readonly by?: readonly string[];
  /** Minutes: it fires from one on and until the other, and not before or after. */
  readonly fires: readonly [from: number, until: number];
}

export const DRILLS = [
  'apart-stuck',
  'bank-stopped',
  'books-changed',
  'cache-evicts',
  'cache-stopped',
  'database-stopped',
  'event-loop-stopped',
  'fact-early',
  'future-event',
  'handler-killed',
  'hold-locked',
  'open-transaction',
  'queue-refused',
  'queue-stopped',
  'report-refused',
  'report-unknown',
  'slow-database',
  'strangers',
  'table-locked',
  'usage-locked',
  'webhook-away',
  'webhook-gone',
  'worker-killed',
  'wrong-balance',
] as const;
export type DrillName = (typeof DRILLS)[number];

/** What the names of the service's own metrics begin with. */
export const C = 'counterfoil_';

/** A gauge: as it may be for ten minutes, beyond its limit for ten, and again as it may be. */
export function spell(quiet: number, beyond: number): string {
  return `${quiet}x9 ${beyond}x9 ${quiet}x9`;
}

/** A counter: what it rises by in a minute, for as long. */
export function rising(quiet: number, beyond: number): string {
  const [turn, end] = [10 * quiet, 10 * quiet + 10 * beyond];
  return `0+${quiet}x10 ${turn + beyond}+${beyond}x9 ${end + quiet}+${quiet}x9`;
}
