import { type Span, SpanKind } from '@opentelemetry/api';
import { ATTRIBUTE, redisAttributes } from '#platform/span-names.js';
import { endSpan, failSpan, startChild } from '#platform/tracing.js';

/** Nobody asks Redis for a while, after it failed: the call was not sent, and nothing else went wrong. */
interface MayBeLeftAlone {
  readonly isLeftAlone?: boolean;
}

/** Calls of a script in a span below `parent`, where that is recorded. */
export async function tracedCalls<T>(
  parent: Span | undefined,
  { script, calls }: { script: string; calls: number },
  send: () => Promise<T>,
): Promise<T> {
  if (!parent?.isRecording()) return send();
  const span = startCall(parent, script, calls);
  try {
    const answer = await send();
    endSpan(span);
    return answer;
  } catch (error) {
    endFailed(span, error);
    throw error;
  }
}

/** A read that shares its pipeline with others', as this asker saw it. `told`: what the cache knew, or why it was not asked. */
export async function tracedRead<T>(
  parent: Span | undefined,
  reply: Promise<T>,
  told: (reply: T) => string | Error,
): Promise<T> {
  if (!parent?.isRecording()) return reply;
  const span = startCall(parent, 'read', 1);
  const answer = await reply;
  const result = told(answer);
  if (result instanceof Error) endFailed(span, result);
  else endSpan(span.setAttribute(ATTRIBUTE.cacheResult, result));
  return answer;
}

function startCall(parent: Span, script: string, calls: number): Span {
  const summary = `${script} balances`;
  const attributes = () => redisAttributes(summary, calls);
  return startChild(parent, summary, { kind: SpanKind.CLIENT, attributes });
}

function endFailed(span: Span, error: unknown): void {
  if ((error as MayBeLeftAlone).isLeftAlone) endSpan(span.setAttribute(ATTRIBUTE.cacheResult, 'left alone'));
  else failSpan(span, error);
}
