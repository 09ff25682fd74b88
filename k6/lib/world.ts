import exec from 'k6/execution';
import http, { type RefinedResponse } from 'k6/http';
import { Counter, Rate } from 'k6/metrics';
import { setTimeout } from 'k6/timers';
import type { Request, World } from './client.ts';
import { type Answer, jsonOf, KINDS, type Kind } from './contract.ts';
import { note } from './notes.ts';
import { URL } from './settings.ts';

/** The service as k6 reaches it: every request counted by what its answer is, in a trace of its own, the slowest written down. */

/** By kind: k6/lib/contract.ts. */
const answers = new Counter('answers');
/** Of all answers, what says a definite no: by the ledger, or by a limit. */
const refused = new Rate('answers_refused');
const ambiguous = new Rate('answers_ambiguous');

http.setResponseCallback(http.expectedStatuses({ min: 200, max: 499 }));

/** Of the requests, which are traced whatever the service would do by itself. */
const TRACED = Number(__ENV.TRACED || 1);
const SLOWEST = 5;
const WRONG_SHOWN = 500;

/** So that a threshold on a kind that never came holds. */
export function countFromZero(): void {
  for (const kind of KINDS) answers.add(0, { kind });
}

export const world: World = {
  async send(request) {
    const { method, path, name } = request;
    const traceId = hex(8) + hex(8) + hex(8) + hex(8);
    const body = request.body === undefined ? null : JSON.stringify(request.body);
    const params = { headers: headersOf(request, traceId), tags: { name }, timeout: '30s' };
    return answerOf(await http.asyncRequest(method, URL + path, body, params), traceId);
  },
  pause: (ms) => new Promise((resolve) => setTimeout(() => resolve(), ms)),
  heard(request, answer, kind) {
    answers.add(1, { kind });
    refused.add(kind === 'refused' || kind === 'limited');
    ambiguous.add(kind === 'ambiguous');
    // A long poll takes as long as it was asked to.
    if (!request.path.includes('wait_ms=')) noteSlow(request, answer);
    if (kind === 'wrong' || kind === 'ambiguous') noteTrace(kind, request, answer);
  },
};

function headersOf({ key, idempotencyKey, body }: Request, traceId: string): Record<string, string> {
  return {
    Authorization: `Bearer ${key}`,
    traceparent: `00-${traceId}-${hex(8)}${hex(8)}-0${Math.random() < TRACED ? 1 : 0}`,
    ...(body !== undefined && { 'Content-Type': 'application/json' }),
    ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
  };
}

function answerOf(response: RefinedResponse<'text'>, traceId: string): Answer {
  const { status, body, timings, headers, error } = response;
  // Where the key is not known (in time), the service's trace is another than the one that was asked for.
  const [, told] = /^00-([0-9a-f]{32})-/.exec(headers.Traceresponse ?? '') ?? [];
  // A connection that was cut has no body: why, as k6 says it.
  return {
    status,
    body: status === 0 ? error : (body ?? ''),
    ms: timings.duration,
    traceId: told ?? traceId,
    header: (name) => headers[name],
  };
}

function hex(digits: number): string {
  return Math.floor(Math.random() * 16 ** digits)
    .toString(16)
    .padStart(digits, '0');
}

/** Of this client; the slowest of all are among them. */
const slowestMs: number[] = [];

function noteSlow(request: Request, answer: Answer): void {
  // What prepares and verifies a run is no load.
  if (exec.vu.idInTest === 0 || answer.ms <= (slowestMs[SLOWEST - 1] ?? 0)) return;
  slowestMs.push(answer.ms);
  slowestMs.sort((a, b) => b - a);
  slowestMs.length = Math.min(slowestMs.length, SLOWEST);
  noteTrace('slow', request, answer);
}

function noteTrace(why: Kind | 'slow', { name }: Request, { status, ms, traceId, body }: Answer): void {
  const said = why === 'slow' ? undefined : (jsonOf<{ code?: string }>(body)?.code ?? body.slice(0, WRONG_SHOWN));
  note({ trace: { why, name, status, ms: Math.round(ms * 10) / 10, id: traceId, said } });
}
