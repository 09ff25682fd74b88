import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';

/** What the simulators' own APIs have in common. */

const MAX_BODY_BYTES = 1_048_576;

export class Refused extends Error {}

export interface Answer {
  status: number;
  body?: unknown;
  /** Without it JSON. */
  text?: { type: string; content: string };
}

export function pathOf({ url = '/' }: IncomingMessage): string[] {
  const { pathname } = new URL(url, 'http://simulator');
  return pathname.split('/').slice(1).map(decodeURIComponent);
}

export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > MAX_BODY_BYTES) throw new Refused(`a body has at most ${MAX_BODY_BYTES} characters`);
  }
  return JSON.parse(body);
}

export function send(response: ServerResponse, { status, body, text }: Answer): void {
  const type = text?.type ?? 'application/json';
  response.writeHead(status, { 'content-type': type }).end(text?.content ?? JSON.stringify(body ?? {}));
}

/** What became of a request that could not be answered. */
export function answerOf(error: Error): Answer {
  const isTheirs = [Refused, z.ZodError, SyntaxError, URIError].some((kind) => error instanceof kind);
  return { status: isTheirs ? 422 : 500, body: { detail: error.message } };
}
