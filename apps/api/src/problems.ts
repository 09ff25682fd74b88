import type { Socket } from 'node:net';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { notFound, type ProblemDocument, ProblemError, problemDocument } from '#kernel/problem.js';
import type { Logger } from '#platform/logging.js';
import { translateError } from '#platform/postgres.js';
import { randomHex } from '#platform/random-hex.js';
import { traceIdOf } from '#platform/tracing.js';

const TYPE = 'application/problem+json; charset=utf-8';

/**
 * What HTTP itself has refused, with a status that no code of the contract has. Its code is that of what cannot be read.
 */
export class HttpRefusal extends ProblemError {
  readonly #status: number;

  constructor(
    status: number,
    readonly title: string,
    detail: string,
  ) {
    super('malformed_json', detail);
    this.#status = status;
  }

  override get status(): number {
    return this.#status;
  }
}

/** The document of a refusal; RFC 9457. */
export function documentOf(refusal: ProblemError, traceId: string): ProblemDocument {
  const { code, message: detail, errors } = refusal;
  const document = problemDocument({ code, detail, trace_id: traceId, ...(errors && { errors }) });
  return refusal instanceof HttpRefusal ? { ...document, status: refusal.status, title: refusal.title } : document;
}

/** On every answer: what is said to one caller is kept by nobody, and is what its type says. */
export const GUARDING_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

/** `traceresponse` of what became no request, and has no span. */
export function untraced(traceId: string): string {
  return `00-${traceId}-${randomHex(8)}-00`;
}

/** Longest body of a merchant that has used its units that is taken, unread, to reach its next request. */
const TAKEN_UNREAD_BYTES = 65_536;
/** How long a client that is still sending what was refused has to read why. */
const LINGER_MS = 1_000;

/** Fastify's own errors by code, as the contract names them. */
const FASTIFY_ERRORS: Record<string, () => ProblemError> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new ProblemError('unsupported_media_type', 'Send the body as application/json.'),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new ProblemError('payload_too_large', 'The body is larger than this route takes.'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new ProblemError('malformed_json', 'The body is not as long as Content-Length says.'),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => new ProblemError('malformed_json', 'The body is empty.'),
  FST_ERR_BAD_URL: () => notFound('route'),
  FST_ERR_MAX_PARAM_LENGTH: () => notFound('resource'),
};
const ABORTED = new Set(['ECONNRESET', 'FST_ERR_CTP_INVALID_CONTENT_LENGTH', 'ERR_STREAM_PREMATURE_CLOSE']);

/** What a client is told about anything that was thrown; undefined: a bug of ours, which it is told nothing about. */
export function refusalOf(error: unknown): ProblemError | undefined {
  if (error instanceof ProblemError) return error;
  const code = (error as { code?: unknown } | undefined)?.code;
  if (typeof code === 'string' && FASTIFY_ERRORS[code]) return FASTIFY_ERRORS[code]();
  if (error instanceof HttpException) return ofStatus(error.getStatus());
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  if (typeof status === 'number') return ofStatus(status);
  const translated = translateError(error);
  return translated instanceof ProblemError ? translated : undefined;
}

/** Errors of the frameworks that have no code of their own here. */
function ofStatus(status: number): ProblemError | undefined {
  if (status === 404) return notFound('route');
  if (status === 413) return new ProblemError('payload_too_large', 'The body is larger than this route takes.');
  if (status === 414) return notFound('resource');
  if (status === 415) return new ProblemError('unsupported_media_type', 'Send the body as application/json.');
  if (status >= 400 && status < 500) return new ProblemError('malformed_json', 'The request cannot be read.');
  return undefined;
}

/** Answers with RFC 9457 whatever was thrown, and logs what is our own fault. */
export function sendProblem(logger: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const refusal = refusalOf(error);
  const { state } = request;
  const traceId = (state && traceIdOf(state.span)) ?? randomHex(16);
  const answer =
    refusal ??
    new ProblemError('internal', 'Something went wrong on our side; it has been recorded under the trace_id.');
  if (state) state.problem = answer.code;
  else reply.headers({ ...GUARDING_HEADERS, traceresponse: untraced(traceId) });
  const isAborted = request.raw.destroyed && ABORTED.has(String((error as { code?: unknown } | undefined)?.code));
  if (!refusal && !isAborted) {
    state?.span.recordException(error instanceof Error ? error : String(error));
    logger.error(
      { err: error, trace_id: traceId, route: request.routeOptions?.url, method: request.method },
      'request failed',
    );
  }
  if (reply.sent) return;
  if (hasMoreToCome(request, answer)) {
    reply.header('connection', 'close');
    closeOnceRead(request.raw.socket);
  }
  if (answer.code === 'unauthorized' && !reply.hasHeader('www-authenticate')) {
    reply.header('www-authenticate', 'Bearer realm="counterfoil"');
  }
  if (answer.retryAfterS !== undefined) reply.header('retry-after', String(answer.retryAfterS));
  reply
    .code(answer.status)
    .header('content-type', TYPE)
    .send(JSON.stringify(documentOf(answer, traceId)));
}

/**
 * Whether a body too large to be read, or of untold length, is still arriving. On a connection that stays open Node would
 * read all of it to reach the next request, so that a stranger's 100 MB would be refused and taken all the same.
 */
function hasMoreToCome({ raw, routeOptions }: FastifyRequest, { code }: ProblemError): boolean {
  if (raw.complete) return false;
  const mostTaken = code === 'rate_limited' ? TAKEN_UNREAD_BYTES : (routeOptions?.bodyLimit ?? 0);
  const { 'content-length': length, 'transfer-encoding': encoding, expect } = raw.headers;
  // Who was not told to continue may send its body or not: what comes next could be either.
  return encoding !== undefined || expect !== undefined || Number(length ?? 0) > mostTaken;
}

/**
 * Closes the connection as Node does after a last answer, only LINGER_MS after its end was sent. To close a socket that
 * holds bytes nobody has read resets it, and a reset that overtakes the client's own reading takes the answer from it
 * (RFC 9112, 9.6). Nothing is read meanwhile, so that what is still being sent stops at the kernel's buffers.
 */
function closeOnceRead(socket: Socket): void {
  socket.destroySoon = () => {
    socket.pause();
    socket.end();
    const linger = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(linger));
  };
}

@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(this.#logger, error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}
