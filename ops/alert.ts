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
  /** For `promtool test rules`: series whose values fire it, those that do not, and the labels it then has. */
  readonly test: {
    readonly series: Readonly<Record<string, readonly [fires: string, quiet: string]>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
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

/** For `promtool test rules`, a value each minute: a counter that rises, and what stands at zero. */
export const RISES = '0+60x30';
export const ZERO = '0x30';
