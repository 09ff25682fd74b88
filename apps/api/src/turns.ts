import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { HeldBytes } from './held-bytes.js';

type Exchange = [IncomingMessage, ServerResponse];
type Handler = (...exchange: Exchange) => void;

/** What still arrives in one read of the kernel's buffer after nothing more is taken. */
const MAX_DROPPED = 4_096;
/** What Node has of a request beside its head, about. */
const REQUEST_BYTES = 2_048;

interface Waiting {
  readonly exchange: Exchange;
  /** It waits no more. */
  leave(): void;
}

interface Line {
  readonly waiting: Waiting[];
  serving: ServerResponse | undefined;
  /** Of requests behind the last that is answered. Node has them until the connection ends. */
  readonly dropped: (() => void)[];
}

/**
 * Requests of one connection are served one after another: the next begins when the kernel has taken the answer before it.
 * Node hands over all that have arrived at once, so that a client that sends a thousand and takes nothing would have a
 * thousand answers in memory. Beyond `limit` that wait, or what `held` has room for on all connections, nothing more is taken,
 * and the connection ends behind them: whoever pipelines must be ready for that (RFC 9112, 9.3.2).
 */
export function serveInTurn(server: Server, limit: number, held: HeldBytes): void {
  const [serve] = server.listeners('request') as [Handler];
  const lines = new WeakMap<Socket, Line>();
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    const line = lines.get(request.socket) ?? begun(request.socket);
    if (!line.serving) begin(line, request, response);
    else if (line.dropped.length > 0 || line.waiting.length >= limit) drop(line, request);
    else if (held.fits(undefined, bytesOf(request))) wait(line, request, response);
    else drop(line, request);
  });

  function begun(socket: Socket): Line {
    const line: Line = { waiting: [], serving: undefined, dropped: [] };
    lines.set(socket, line);
    // Nothing is done for those who wait behind a client that has gone; Node would tell nobody of their end.
    socket.once('close', () => {
      for (const { leave } of line.waiting.splice(0)) leave();
      for (const leave of line.dropped.splice(0)) leave();
    });
    return line;
  }

  function begin(line: Line, ...[request, response]: Exchange): void {
    line.serving = response;
    response.once('close', () => {
      if (request.socket.destroyed) return;
      const next = line.waiting.shift();
      next?.leave();
      line.serving = undefined;
      if (next) begin(line, ...next.exchange);
      else if (line.dropped.length > 0) request.socket.destroySoon();
    });
    serve(request, response);
  }

  function wait(line: Line, ...exchange: Exchange): void {
    line.waiting.push({ exchange, leave: held.hold(undefined, bytesOf(exchange[0])) });
  }

  function drop(line: Line, request: IncomingMessage): void {
    const { socket } = request;
    const last = line.waiting.at(-1)?.exchange[1] ?? line.serving;
    if (last) last.shouldKeepAlive = false;
    const bytes = bytesOf(request);
    const isRoom = line.dropped.length === 0 || held.fits(undefined, bytes);
    if (!isRoom || line.dropped.length > MAX_DROPPED) socket.destroy();
    line.dropped.push(held.hold(undefined, bytes));
    socket.pause();
  }
}

function bytesOf({ rawHeaders }: IncomingMessage): number {
  return rawHeaders.reduce((bytes, text) => bytes + text.length, REQUEST_BYTES);
}
