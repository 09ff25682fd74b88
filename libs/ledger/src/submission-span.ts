import type { Span } from '@opentelemetry/api';
import { inSpan, startChild } from '#platform/tracing.js';
import type { Outcome, SubmittedCommand } from './submission.js';

/** Submits within a span of its own, which tells what came of it. */
export async function traceSubmission(
  ofRequest: Span,
  first: SubmittedCommand | undefined,
  submit: (own: Span) => Promise<Outcome>,
): Promise<Outcome> {
  const name = first?.kind === 'extended' ? first.extension.name : first?.kind;
  const own = startChild(ofRequest, `ledger ${name ?? ''}`);
  return inSpan(own, async () => {
    const outcome = await submit(own);
    if (own.isRecording()) tell(own, ofRequest, outcome);
    return outcome;
  });
}

/** With a transaction's id on the request's span and on its own, its trace is one search away. */
function tell(own: Span, ofRequest: Span, outcome: Outcome): void {
  own.setAttribute('counterfoil.outcome', summaryOf(outcome));
  const ids = transactionIdsOf(outcome);
  if (ids.length === 0) return;
  for (const span of [own, ofRequest]) span.setAttribute('counterfoil.transaction_id', ids);
}

function transactionIdsOf(outcome: Outcome): string[] {
  if (outcome.kind === 'replayed') return outcome.transactionId === null ? [] : [String(outcome.transactionId)];
  if (outcome.kind !== 'decided') return [];
  return outcome.decisions.flatMap((decision) => {
    if (!decision.accepted) return [];
    return ('transaction' in decision ? [decision.transaction.id] : decision.transactionIds).map(String);
  });
}

/** For traces: `accepted`, `replayed`, a refusal's code, or how many of a batch were accepted. */
function summaryOf(outcome: Outcome): string {
  if (outcome.kind !== 'decided') return outcome.kind;
  const [first] = outcome.decisions;
  if (outcome.decisions.length === 1 && first) return first.accepted ? 'accepted' : first.code;
  return `${outcome.decisions.filter((decision) => decision.accepted).length} of ${outcome.decisions.length} accepted`;
}
