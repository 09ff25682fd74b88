import { PROBLEMS } from '../../libs/kernel/src/problem.ts';

/** What an answer is by the contract. Here and in the files that say so nothing of k6 is imported: tests run them in Node. */
export interface Answer {
  /** 0: the connection was cut, or nothing came in time. */
  readonly status: number;
  readonly body: string;
  readonly ms: number;
  readonly traceId: string;
  header(name: string): string | undefined;
}

/** Of success, and the codes of problems that say a definite no to this request. */
export interface Expected {
  readonly status: number;
  readonly refusals?: readonly string[];
}

/**
 * `limited`: 429, nothing was done. `ambiguous`: a cut connection, 408, 503, 504, or 409 while the first with this key runs: whether anything was
 * done the same key tells. `wrong`: no answer that the contract has for this request; it fails the run.
 */
export type Kind = 'done' | 'refused' | 'limited' | 'ambiguous' | 'wrong';
export const KINDS: readonly Kind[] = ['done', 'refused', 'limited', 'ambiguous', 'wrong'];

/** Those that say when to come again. */
const LATER: Record<string, Kind> = {
  rate_limited: 'limited',
  overloaded: 'ambiguous',
  database_unavailable: 'ambiguous',
  deadline_exceeded: 'ambiguous',
};

export function kindOf(answer: Answer, { status, refusals = [] }: Expected): Kind {
  if (answer.status === status) return 'done';
  if (answer.status === 0) return 'ambiguous';
  // It was not sent in time, as by a load generator that has too little of the machine, and never became a request.
  if (answer.status === 408 && isProblem(answer)) return 'ambiguous';
  const code = problemOf(answer);
  if (code === undefined) return 'wrong';
  const later = LATER[code];
  if (later) return /^[1-9]\d*$/.test(answer.header('Retry-After') ?? '') ? later : 'wrong';
  if (code === 'idempotency_in_flight') return 'ambiguous';
  return refusals.includes(code) ? 'refused' : 'wrong';
}

/** The code of a problem that is whole: typed as one, with the status of its code, and the trace to look for. */
export function problemOf(answer: Answer): string | undefined {
  if (!isProblem(answer)) return undefined;
  const { code, status, trace_id } = jsonOf<Record<string, unknown>>(answer.body) ?? {};
  if (typeof code !== 'string' || !Object.hasOwn(PROBLEMS, code)) return undefined;
  const known = PROBLEMS[code as keyof typeof PROBLEMS].status;
  const isWhole = status === known && answer.status === known && /^[0-9a-f]{32}$/.test(String(trace_id));
  return isWhole ? code : undefined;
}

const isProblem = (answer: Answer): boolean =>
  answer.header('Content-Type')?.startsWith('application/problem+json') === true;

export function jsonOf<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
