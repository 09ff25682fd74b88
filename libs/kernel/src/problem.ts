/** Every stable error code of the REST contract with its HTTP status and RFC 9457 title. */
export const PROBLEMS = {
  malformed_json: { status: 400, title: 'The body is not readable JSON' },
  unsupported_media_type: { status: 415, title: 'The body has a media type or charset that is not taken here' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  validation_failed: { status: 422, title: 'The request has invalid fields' },
  unauthorized: { status: 401, title: 'A valid API key is needed' },
  forbidden: { status: 403, title: 'This key may not do that' },
  not_found: { status: 404, title: 'There is no such resource' },
  method_not_allowed: { status: 405, title: 'The resource does not have this method' },
  idempotency_key_required: { status: 400, title: 'An Idempotency-Key header is needed' },
  idempotency_key_invalid: { status: 400, title: 'The Idempotency-Key header is not valid' },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key was used for another request' },
  idempotency_in_flight: { status: 409, title: 'The first request with this Idempotency-Key is still running' },
  unbalanced_entries: { status: 422, title: 'The entries do not sum to zero per currency' },
  currency_mismatch: { status: 422, title: 'The currency is not that of the account' },
  account_closed: { status: 422, title: 'The account is closed' },
  insufficient_funds: { status: 422, title: 'The available balance would fall below its floor' },
  amount_out_of_range: { status: 422, title: 'The amount is out of range' },
  amount_exceeds_remaining: { status: 422, title: 'The amount exceeds what remains' },
  condition_failed: { status: 409, title: 'A condition of an entry does not hold' },
  not_pending: { status: 409, title: 'The transaction is not pending' },
  already_reversed: { status: 409, title: 'The transaction has already been reversed' },
  invalid_transition: { status: 409, title: 'The resource is not in a state that allows this' },
  rate_limited: { status: 429, title: 'Too many requests' },
  overloaded: { status: 503, title: 'The service is busy' },
  database_unavailable: { status: 503, title: 'The database cannot be reached' },
  deadline_exceeded: { status: 504, title: 'The request took longer than its deadline' },
  internal: { status: 500, title: 'Something went wrong on our side' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** Where in the request a fault lies: a dotted path (`entries.0.amount`) and a sentence. */
export interface FieldError {
  path: string;
  message: string;
}

/**
 * Said by the thousand to whoever asks too much, and never logged: nobody reads where each was thrown, and to note that is a tenth
 * of what the whole answer costs.
 */
const WITHOUT_STACK: ReadonlySet<ProblemCode> = new Set(['unauthorized', 'rate_limited', 'overloaded']);

/** An expected refusal with a stable code. Anything else that is thrown is a bug and answers `internal`. */
export class ProblemError extends Error {
  readonly code: ProblemCode;
  readonly errors: FieldError[] | undefined;
  /** Seconds after which a retry makes sense; sent as `Retry-After`. */
  readonly retryAfterS: number | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { errors?: FieldError[]; retryAfterS?: number; cause?: unknown } = {},
  ) {
    const frames = Error.stackTraceLimit;
    if (WITHOUT_STACK.has(code)) Error.stackTraceLimit = 0;
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    Error.stackTraceLimit = frames;
    this.name = 'ProblemError';
    this.code = code;
    this.errors = options.errors;
    this.retryAfterS = options.retryAfterS;
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }
}

export function notFound(what: string): ProblemError {
  return new ProblemError('not_found', `There is no such ${what}.`);
}

export function invalid(path: string, message: string): ProblemError {
  return new ProblemError('validation_failed', `${path}: ${message}`, { errors: [{ path, message }] });
}

const PASSING: ReadonlySet<ProblemCode> = new Set(['database_unavailable', 'overloaded', 'idempotency_in_flight']);

/** A refusal that says nothing of what was asked for: the same may well succeed another time. */
export function isPassing(error: unknown): boolean {
  return error instanceof ProblemError && PASSING.has(error.code);
}

/** An RFC 9457 document with the contract's extra members. */
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ProblemCode;
  trace_id?: string;
  errors?: FieldError[];
}

export function problemDocument(problem: {
  code: ProblemCode;
  detail: string;
  errors?: FieldError[];
  trace_id?: string;
}): ProblemDocument {
  const { status, title } = PROBLEMS[problem.code];
  return {
    type: `https://counterfoil.dev/problems/${problem.code}`,
    title,
    status,
    detail: problem.detail,
    code: problem.code,
    ...(problem.trace_id !== undefined && { trace_id: problem.trace_id }),
    ...(problem.errors !== undefined && { errors: problem.errors }),
  };
}
