import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';

/** What the simulators' own APIs have in common. */

const MAX_BODY_BYTES = 1_048_576;

export class Refused extends Error {}

export interface Answer {
  status: number;
  body?: unknown;
  /** Without it JSON. As large as it may be: it is sent as it is written. */
  text?: { type: string; content: Iterable<string> };
  headers?: Record<string, string>;
}

export function pathOf({ url = '/' }: IncomingMessage): string[] {
  const { pathname } = new URL(url, 'http://simulator');
  return pathname.split('/').slice(1).map(decodeURIComponent);
}

/** What stands behind the question mark, each name once. */
export function queryOf({ url = '/' }: IncomingMessage): Record<string, string> {
  const given = [...new URL(url, 'http://simulator').searchParams];
  const query = Object.fromEntries(given);
  if (Object.keys(query).length < given.length) throw new Refused('a parameter is given twice');
  return query;
}

/** Of `?faults=a,b`: those of `known`. */
export const faultsIn = <Fault extends string>(known: readonly [Fault, ...Fault[]]) =>
  z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(known)))
    .optional();

export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > MAX_BODY_BYTES) throw new Refused(`a body has at most ${MAX_BODY_BYTES} characters`);
  }
  return JSON.parse(body);
}

/** What is wrong with a report that is answered, by whoever asked for it. */
export const plantedHeader = (planted: readonly object[]): Record<string, string> => ({
  'planted-faults': JSON.stringify(planted).replaceAll(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  ),
});

export function send(response: ServerResponse, { status, body, text, headers }: Answer): void {
  response.writeHead(status, { 'content-type': text?.type ?? 'application/json', ...headers });
  if (!text) response.end(JSON.stringify(body ?? {}));
  // Who hangs up has had enough.
  else pipeline(Readable.from(pieces(text.content)), response).catch(() => response.destroy());
}

const PIECE_CHARACTERS = 65_536;

function* pieces(content: Iterable<string>): Generator<string> {
  let piece = '';
  for (const text of content) {
    piece += text;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

/** What became of a request that could not be answered. */
export function answerOf(error: Error): Answer {
  const isTheirs = [Refused, z.ZodError, SyntaxError, URIError].some((kind) => error instanceof kind);
  return { status: isTheirs ? 422 : 500, body: { detail: error.message } };
}
