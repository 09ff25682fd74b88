import { type Span, SpanKind, type SpanOptions, SpanStatusCode } from '@opentelemetry/api';
import { RequestFailed } from './public-http.js';
import { ATTRIBUTE } from './span-names.js';
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
      [ATTRIBUTE.httpMethod]: method,
      [ATTRIBUTE.urlScheme]: scheme,
      [ATTRIBUTE.serverAddress]: hostname,
      [ATTRIBUTE.serverPort]: Number(port) || (scheme === 'https' ? 443 : 80),
      ...attributes,
    },
  });
}

/** With what it was answered; `isOk`: as was hoped for. */
export function endRequestSpan(span: Span, statusCode: number, isOk: boolean): void {
  span.setAttribute(ATTRIBUTE.httpStatus, statusCode);
  if (!isOk) {
    span.setAttribute(ATTRIBUTE.errorType, String(statusCode));
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  endSpan(span);
}

/** Without an answer: why, by its code. */
export function failRequestSpan(span: Span, error: unknown): void {
  if (error instanceof RequestFailed) {
    span.setAttribute(ATTRIBUTE.errorType, error.message);
    span.setStatus({ code: SpanStatusCode.ERROR });
    endSpan(span);
  } else failSpan(span, error);
}
