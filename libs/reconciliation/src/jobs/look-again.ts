import type { Deadline } from '#platform/deadline.js';
import type { DueRow } from '#platform/due-rows.js';
import { type DueKind, type DueResult, DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import { inSpan, remoteContext, spanTime, tracer } from '#platform/tracing.js';
import { lookAgain, RECONCILIATION_DUE } from '../closing/close-report.js';
import type { Matching } from '../matching/match-report.js';
import { reportInWork } from './work-store.js';

/** Few: each reads a period of its merchant. */
const AT_ONCE = 4;

/** Looks at reports again when something that they should have told is no longer just expected. */
export function reportsToLookAt(matching: Matching, logger: Logger): DueWork {
  const run = (row: DueRow, deadline: Deadline) => lookAt(matching, row, deadline);
  const kind: DueKind = { name: RECONCILIATION_DUE, atOnce: AT_ONCE, run };
  return new DueWork(matching.database, kind, logger);
}

async function lookAt(matching: Matching, { merchantId, subjectId }: DueRow, deadline: Deadline): Promise<DueResult> {
  const report = await reportInWork(matching.database, { merchantId, id: subjectId }, 'completed', deadline);
  // Whoever completes it looks, too.
  if (!report) return 'not yet';
  const attributes = { 'counterfoil.reconciliation_id': String(subjectId) };
  const upload = remoteContext(report.traceContext ?? '');
  const span = tracer.startSpan('look at report again', { startTime: spanTime(), attributes }, upload);
  // The next time is set with what is found.
  await inSpan(span, () => lookAgain(matching, report, () => deadline));
  return 'done';
}
