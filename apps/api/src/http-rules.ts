import type { FastifyRequest, RouteOptions } from 'fastify';
import { notFound, ProblemError } from '#kernel/problem.js';
import { HttpRefusal } from './problems.js';

/** What RFC 9110 and 9112 have a server refuse, and what is refused for the sake of the next one in the chain. */

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const CHARSET = /;\s*charset\s*=\s*("?)([^";]*)\1/gi;

/** What a path takes that was asked for in another way. */
export class KnownRoutes {
  readonly #routes: { pattern: RegExp; hasParameters: boolean; methods: string[] }[] = [];

  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    const methods = (Array.isArray(method) ? method : [method]).filter((name) => METHODS.includes(name));
    this.#routes.push({ pattern: patternOf(url), hasParameters: /[:*]/.test(url), methods });
  }

  /** `not_found`, or `method_not_allowed` with the methods that there are. */
  refusal(path: string): { error: ProblemError; allow?: string } {
    const known = this.#routes.filter(({ pattern }) => pattern.test(path));
    // Of /transactions/batch and /transactions/:id the router knows only the first.
    const fixed = known.filter(({ hasParameters }) => !hasParameters);
    const methods = (fixed.length > 0 ? fixed : known).flatMap((route) => route.methods);
    if (methods.length === 0) return { error: notFound('route') };
    const allow = [...new Set(methods)].join(', ');
    return { error: new ProblemError('method_not_allowed', `${path} takes ${allow}.`), allow };
  }
}

/** `/v1/accounts/:id` → a pattern of its paths. Used for refusals only. */
function patternOf(url: string): RegExp {
  const source = url
    .split('/')
    .map((segment) =>
      segment.startsWith(':') ? '[^/]+' : segment.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace('*', '.*'),
    )
    .join('/');
  return new RegExp(`^${source}$`);
}

/** Heads that two readers may understand in two ways, and expectations that nobody meets. */
export function refuseOddHead({ raw }: FastifyRequest): void {
  const hosts = countOf(raw.rawHeaders, 'host');
  if (hosts > 1) throw new HttpRefusal(400, 'Bad Request', 'The request has two Host headers.');
  if (hosts === 0 && raw.httpVersion === '1.1') {
    throw new HttpRefusal(400, 'Bad Request', 'The request has no Host header.');
  }
  const coding = raw.headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw new HttpRefusal(501, 'Not Implemented', 'The only transfer coding that is understood is chunked.');
  }
  const { expect } = raw.headers;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    throw new HttpRefusal(417, 'Expectation Failed', 'The only expectation that is met is 100-continue.');
  }
}

function countOf(rawHeaders: readonly string[], name: string): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index] as string;
    if (header.length === name.length && header.toLowerCase() === name) count += 1;
  }
  return count;
}

/** Whether one is announced. */
export function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** What is streamed comes as it is, in a media type of its route; whoever reads it knows its characters. */
export function streamRefusal(request: FastifyRequest, types: readonly string[]): ProblemError | undefined {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (types.includes(type) || !hasBody(request)) return codingRefusal(request);
  return new ProblemError('unsupported_media_type', `Send the body as ${types.join(', ')}.`);
}

/** Bodies come as they are. */
function codingRefusal({ headers }: FastifyRequest): ProblemError | undefined {
  const coding = headers['content-encoding'];
  if (coding === undefined || coding.toLowerCase() === 'identity') return undefined;
  return new ProblemError('unsupported_media_type', 'Send the body as it is, without a Content-Encoding.');
}

/** The same in UTF-8. */
export function encodingRefusal(request: FastifyRequest): ProblemError | undefined {
  const refusal = codingRefusal(request);
  if (refusal) return refusal;
  const { headers } = request;
  const type = headers['content-type'];
  if (type === undefined || type === 'application/json') return undefined;
  for (const [, , charset = ''] of type.matchAll(CHARSET)) {
    if (!/^utf-?8$/i.test(charset.trim())) {
      return new ProblemError('unsupported_media_type', 'Send the body in UTF-8: charset=utf-8, or no charset.');
    }
  }
  return undefined;
}
