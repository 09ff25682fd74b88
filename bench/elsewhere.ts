import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Answers, Heard } from './noise-callers.js';

/**
 * A server that does nothing but answer as the service did, on the whole: as many of each status, of the same size, and as many streams,
 * which tell as much. Who makes the noise takes as much of the machine beside it as beside the service; what the service itself does for
 * the noise is what is missing.
 */
export class Elsewhere {
  readonly #child: ChildProcess;
  readonly port: number;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(): Promise<Elsewhere> {
    const child = fork(import.meta.filename, ['elsewhere'], { execArgv: ['--enable-source-maps'] });
    const [said] = (await once(child, 'message')) as [{ port: number }];
    return new Elsewhere(child, said.port);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** From now on. */
  answerAs(heard: Heard): void {
    this.#child.send(heard);
  }

  stop(): void {
    this.#child.disconnect();
  }
}

/** Requests a second that were answered. */
export function rateOf({ answers, ms }: Heard): number {
  return (Object.values(answers).reduce((sum, { count }) => sum + count, 0) * 1_000) / ms;
}

const REFUSED = 400;
const STREAM_TICK_MS = 10;
const FILLING = Buffer.alloc(8_388_608, ' ');

async function answerElsewhere(): Promise<void> {
  let heard: Heard = { ms: 1, answers: { 200: { count: 1, bytes: 0 } }, streams: 0 };
  const streams = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    request.on('error', () => undefined);
    const isStream = request.headers.accept === 'text/event-stream';
    if (!isStream) answer(request, response, drawn(heard.answers), heard.answers);
    else if (streams.size < Math.max(1, heard.streams)) stream(response, streams);
    else answer(request, response, drawn(heard.answers, REFUSED) ?? 429, heard.answers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  setInterval(() => {
    const bytes = Math.round(((heard.answers[200]?.bytes ?? 0) / heard.ms) * (STREAM_TICK_MS / streams.size));
    for (const response of streams) response.write(FILLING.subarray(0, bytes));
  }, STREAM_TICK_MS);
  process.on('message', (message: Heard) => {
    heard = message;
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.({ port: (server.address() as AddressInfo).port });
}

/** A status, as often as it was heard; undefined if none of `from` and above was. */
function drawn(answers: Answers, from = 0): number | undefined {
  const known = Object.entries(answers).map(([status, { count }]) => ({ status: Number(status), count }));
  const among = known.filter(({ status }) => status >= from);
  let left = Math.random() * among.reduce((sum, { count }) => sum + count, 0);
  for (const { status, count } of among) {
    left -= count;
    if (left < 0) return status;
  }
  return undefined;
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  status: number | undefined,
  answers: Answers,
): void {
  if (status === undefined || status === 0) {
    request.destroy();
    return;
  }
  const { count, bytes } = answers[status] ?? { count: 1, bytes: 0 };
  const send = (): void => {
    const body = FILLING.subarray(0, Math.round(bytes / count));
    response.writeHead(status, { 'content-length': body.length, 'content-type': 'application/json' }).end(body);
  };
  // As the service does: a body that is refused is not read.
  if (status >= REFUSED) send();
  else request.resume().once('end', send);
}

function stream(response: ServerResponse, streams: Set<ServerResponse>): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  streams.add(response);
  response.once('close', () => streams.delete(response));
}

if (process.argv[2] === 'elsewhere') await answerElsewhere();
