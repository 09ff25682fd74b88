import type { Deadline } from '#platform/deadline.js';
import type { DueRow } from '#platform/due-rows.js';
import { type DueKind, type DueResult, DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import { ATTRIBUTE } from '#platform/span-names.js';
import { inSpan, startFrom } from '#platform/tracing.js';
import { lookAgain, lookAtLateFacts, RECONCILIATION_DUE } from '../closing/close-report.js';
import type { Matching } from '../matching/match-report.js';
import type { ReportInWork } from '../reports/report.js';
import { LATE_FACTS } from './names.js';
import { reportInWork } from './work-store.js';

/** Few: each reads a period of its merchant. */
const AT_ONCE = 4;
/** How often it is asked whether a report that is being matched is completed. */
const COMPLETED_WAIT_MS = 1_000;

/** Looks at reports again when something that they should have told is no longer just expected. */
export function reportsToLookAt(matching: Matching, logger: Logger): DueWork {
  const run = (row: DueRow, deadline: Deadline) => lookAt(matching, row, deadline);
  const kind: DueKind = { name: RECONCILIATION_DUE, atOnce: AT_ONCE, run };
  return new DueWork(matching.database, kind, logger);
}

async function lookAt(matching: Matching, row: DueRow, deadline: Deadline): Promise<DueResult> {
  const { merchantId, subjectId } = row;
  const report = await reportInWork(matching.database, { merchantId, id: subjectId }, 'completed', deadline);
  if (!report) return untilCompleted(matching, row, deadline);
  // The next time is set with what is found.
  await inUploadOf(report, 'look at report again', deadline, (until) => lookAgain(matching, report, until));
  return 'done';
}

/** In a span of the upload's trace. */
function inUploadOf(
  { merchantId, id, traceContext }: ReportInWork,
  name: string,
  deadline: Deadline,
  work: (until: () => Deadline) => Promise<void>,
): Promise<void> {
  const attributes = { [ATTRIBUTE.merchantId]: String(merchantId), 'counterfoil.reconciliation_id': String(id) };
  const span = startFrom(traceContext, name, { attributes });
  return inSpan(span, () => work(() => deadline.under(span)));
}

/** What becomes of the row of a report that is not completed. One that has failed is looked at when somebody has it tried again. */
async function untilCompleted({ database }: Matching, row: DueRow, deadline: Deadline): Promise<DueResult> {
  const { merchantId, subjectId: id } = row;
  const isInWork = (await reportInWork(database, { merchantId, id }, 'matching', deadline)) !== undefined;
  return isInWork ? { againAtMs: Date.now() + COMPLETED_WAIT_MS } : 'done';
}

/** Looks at rows of reports once more, of which the ledger has learnt something. One that is being matched is looked at when it is closed. */
export function lateFacts(matching: Matching, logger: Logger): DueWork {
  const run = async (row: DueRow, deadline: Deadline): Promise<DueResult> => {
    const { merchantId, subjectId: id } = row;
    const report = await reportInWork(matching.database, { merchantId, id }, 'completed', deadline);
    if (!report) return untilCompleted(matching, row, deadline);
    await inUploadOf(report, 'look at late facts', deadline, (until) => lookAtLateFacts(matching, report, until));
    return 'done';
  };
  return new DueWork(matching.database, { name: LATE_FACTS, atOnce: AT_ONCE, run }, logger);
}
