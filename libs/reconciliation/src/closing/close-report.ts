import type { Deadline } from '#platform/deadline.js';
import { enqueueDue } from '#platform/due-rows.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { isBank } from '../matching/statements.js';
import { type Absent, absentPayments } from './absent.js';
import { absentPayouts } from './absent-payouts.js';
import { checkStatements } from './bank-statements.js';
import { matchBatches } from './batches.js';
import { countReport } from './count.js';
import { lookAtOpenRows } from './look-again.js';
import { endNoLongerDue } from './no-longer-due.js';
import { openFound } from './open-found.js';
import { proposeItems } from './proposals.js';

/** The due rows of reports: when something that is expected is missing, unless it has been told. The subject is the report. */
export const RECONCILIATION_DUE = 'reconciliation';

/**
 * The closing steps of a report whose rows are all matched or broken. Each is one or more transactions of its own, and does nothing the
 * second time; who is killed in between begins with the first again.
 */
export async function closeReport(matching: Matching, report: MatchedReport, deadline: () => Deadline): Promise<void> {
  if (isBank(report.source)) await checkStatements(matching, report, deadline);
  else await matchBatches(matching, report, deadline);
  await lookAgain(matching, report, deadline);
  await proposeItems(matching, report, deadline);
}

/**
 * Looks whether breaks of rows still say what is true, and at what the report should have told and has not: until its time is up it is
 * expected, then it is missing. Whoever closes a report does so, and whoever has its due row.
 */
export async function lookAgain(matching: Matching, report: MatchedReport, deadline: () => Deadline): Promise<void> {
  const changed = await lookAtOpenRows(matching, report, deadline);
  changed.delete(report.id);
  // Items of which their breaks have let go may be missing by now: they are of the period of the report that told the row.
  for (const id of changed) await lookAt(matching, { ...report, id }, Date.now(), deadline());
  await lookAtAbsent(matching, report, deadline);
}

/** The same, of the report's own rows alone, where the ledger has learnt more of what they name. */
export async function lookAtLateFacts(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
): Promise<void> {
  const changed = await lookAtOpenRows(matching, report, deadline, 'report');
  if (changed.size > 0) await lookAtAbsent(matching, report, deadline);
}

async function lookAtAbsent(matching: Matching, report: MatchedReport, deadline: () => Deadline): Promise<void> {
  await endNoLongerDue(matching, report, deadline);
  let expected = 0;
  let nextMs: number | undefined;
  for await (const absent of absentOf(matching, report, deadline)) {
    await openFound(matching, report, absent.missing, deadline);
    expected += absent.expected;
    if (absent.nextMs !== undefined && absent.nextMs < (nextMs ?? Infinity)) nextMs = absent.nextMs;
  }
  await countReport(matching, report, expected, deadline());
  if (nextMs !== undefined) await lookAt(matching, report, nextMs, deadline());
}

async function* absentOf(matching: Matching, report: MatchedReport, deadline: () => Deadline): AsyncGenerator<Absent> {
  const { periodFromMs: fromMs, periodToMs: toMs } = report;
  if (fromMs === undefined || toMs === undefined) return;
  if (isBank(report.source)) yield absentPayouts(matching, report, { fromMs, toMs }, deadline());
  else yield* absentPayments(matching, report, { fromMs, toMs }, deadline);
}

async function lookAt(
  { database }: Matching,
  { merchantId, id }: MatchedReport,
  dueAtMs: number,
  deadline: Deadline,
): Promise<void> {
  const row = { merchantId, subjectId: id, dueAtMs: Math.ceil(dueAtMs) };
  await database.write({ merchantIds: [merchantId] }, deadline, enqueueDue(RECONCILIATION_DUE, [row]));
}
