import type { Span } from '@opentelemetry/api';
import { ProblemError } from '#kernel/problem.js';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { openFound } from '../closing/open-found.js';
import { behindLock } from '../matching/behind-lock.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { FINDINGS, INTERNAL_MISMATCH, type Inspection, type Offence, offencesOf } from './found.js';
import { type Inspectors, inspect } from './inspect.js';
import { END_GONE, failCheck, noteLookedAt, type OpenBreak, openBreaks, timesEnded } from './internal-store.js';

export interface InternalCheckOptions {
  /** Of the look at one merchant. */
  readonly timeoutMs: number;
  readonly stepDeadline: () => Deadline;
}

/** Holds a merchant's books against themselves. Safe to do twice: whoever dies in the middle leaves a report that is not completed. */
export class InternalCheck {
  /** What was found wrong here. */
  offences = 0;

  constructor(
    private readonly matching: Matching,
    private readonly inspectors: Inspectors,
    private readonly options: InternalCheckOptions,
  ) {}

  /** Its statements show below `within`. */
  async run(report: MatchedReport, within?: Span): Promise<void> {
    const stepDeadline = () => this.options.stepDeadline().under(within);
    const inspection = await this.#inspect(report, within);
    const offences = offencesOf(inspection);
    this.offences += offences.size;
    await this.#open(report, [...offences.values()], stepDeadline);
    await this.#endGone(report, offences, inspection, stepDeadline);
    const counted = inspection.checks.reduce((sum, check) => sum + check.counted, 0n);
    await noteLookedAt(this.matching.database, report, counted, stepDeadline());
  }

  async #inspect(report: MatchedReport, within: Span | undefined): Promise<Inspection> {
    const { timeoutMs, stepDeadline } = this.options;
    try {
      return await inspect(this.inspectors, report.merchantId, Deadline.after(timeoutMs).under(within));
    } catch (error) {
      // Again it would take as long: the next day's report tries.
      if (error instanceof ProblemError && error.code === 'deadline_exceeded') {
        const why = `The check did not end within ${timeoutMs} ms (RECONCILIATION_CHECK_TIMEOUT_MS).`;
        await failCheck(this.matching.database, report, why, stepDeadline());
      }
      throw error;
    }
  }

  /** What was found before and ended is another break: who mends a fault twice is told twice. */
  async #open(report: MatchedReport, offences: readonly Offence[], stepDeadline: () => Deadline): Promise<void> {
    const items = offences.map(({ item }) => item);
    const ended = await timesEnded(this.matching.database, report.merchantId, items, stepDeadline());
    const found = offences.map((offence) => {
      return { ...offence, fingerprint: `${offence.item}/${(ended.get(offence.item) ?? 0) + 1}` };
    });
    await openFound(this.matching, report, found, stepDeadline);
  }

  async #endGone(
    report: MatchedReport,
    offences: ReadonlyMap<string, Offence>,
    { incomplete }: Inspection,
    stepDeadline: () => Deadline,
  ): Promise<void> {
    const { database, breaksAtOnce } = this.matching;
    const isGone = (one: OpenBreak) => !offences.has(one.item) && !incomplete.has(checkOf(one));
    for await (const page of openBreaks(database, report.merchantId, breaksAtOnce, stepDeadline)) {
      const gone = page.filter(isGone).map(({ id }) => id);
      if (gone.length === 0) continue;
      const values = [report.merchantId, int8Array(gone), report.id];
      await behindLock(database, report, { text: END_GONE, values }, stepDeadline());
    }
  }
}

function checkOf({ kind, reference }: OpenBreak): string {
  return kind === INTERNAL_MISMATCH ? (reference ?? '') : FINDINGS;
}
