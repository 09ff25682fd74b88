import { type Span, SpanKind, type SpanOptions, SpanStatusCode } from '@opentelemetry/api';
import { RequestFailed } from './public-http.js';
import { endSpan, failSpan, startFrom } from './tracing.js';

/** What a request to somebody else's server is about. */
export interface SentRequest {
  readonly method: string;
  /** Of whom it asks something, in a word: `webhook`. */
  readonly of: string;
  readonly url: string;
}

/**
 * The span of a request to somebody else's server, as OpenTelemetry's conventions for HTTP have it: whom it is sent to, and never the path
 * or the query, which may be secrets.
 */
export function startRequestSpan(
  origin: Span | string | undefined,
  { method, of, url }: SentRequest,
  { attributes, ...options }: SpanOptions = {},
): Span {
  const { protocol, hostname, port } = new URL(url);
  const scheme = protocol.slice(0, -1);
  return startFrom(origin, `${method} ${of}`, {
    kind: SpanKind.CLIENT,
    ...options,
    attributes: {
      'http.request.method': method,
      'url.scheme': scheme,
      'server.address': hostname,
      'server.port': Number(port) || (scheme === 'https' ? 443 : 80),
      ...attributes,
    },
  });
}

/** With what it was answered; `isOk`: as was hoped for. */
export function endRequestSpan(span: Span, statusCode: number, isOk: boolean): void {
  span.setAttribute('http.response.status_code', statusCode);
  if (!isOk) {
    span.setAttribute('error.type', String(statusCode));
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  endSpan(span);
}

/** Without an answer. */
export function failRequestSpan(span: Span, error: unknown): void {
  span.setAttribute('error.type', errorType(error));
  failSpan(span, error);
}

function errorType(error: unknown): string {
  if (error instanceof RequestFailed) return error.message;
  return error instanceof Error ? error.name : 'error';
}
