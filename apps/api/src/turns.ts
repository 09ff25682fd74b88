import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

type Exchange = [IncomingMessage, ServerResponse];
type Handler = (...exchange: Exchange) => void;

/** What still arrives in one read of the kernel's buffer after nothing more is taken. */
const MAX_DROPPED = 4_096;

interface Line {
  readonly waiting: Exchange[];
  serving: ServerResponse | undefined;
  /** Requests behind the last that is answered. */
  dropped: number;
}

/**
 * Requests of one connection are served one after another: the next begins when the kernel has taken the answer before it.
 * Node hands over all that have arrived at once, so that a client that sends a thousand and takes nothing would have a
 * thousand answers in memory. Beyond `limit` that wait nothing more is taken, and the connection ends behind them: whoever
 * pipelines must be ready for that (RFC 9112, 9.3.2).
 */
export function serveInTurn(server: Server, limit: number): void {
  const [serve] = server.listeners('request') as [Handler];
  const lines = new WeakMap<Socket, Line>();
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    const line = lineOf(request.socket);
    if (line.dropped > 0) drop(line, request.socket);
    else if (!line.serving) begin(line, request, response);
    else if (line.waiting.length < limit) line.waiting.push([request, response]);
    else close(line, request.socket);
  });

  function lineOf(socket: Socket): Line {
    const line = lines.get(socket) ?? { waiting: [], serving: undefined, dropped: 0 };
    lines.set(socket, line);
    return line;
  }

  function begin(line: Line, ...[request, response]: Exchange): void {
    line.serving = response;
    response.once('close', () => {
      line.serving = undefined;
      const next = line.waiting.shift();
      // Nothing is done for those who wait behind a client that has gone; Node would tell nobody of their end.
      if (request.socket.destroyed) line.waiting.length = 0;
      else if (next) begin(line, ...next);
      else if (line.dropped > 0) request.socket.destroySoon();
    });
    serve(request, response);
  }

  function close(line: Line, socket: Socket): void {
    const last = line.waiting.at(-1)?.[1] ?? line.serving;
    if (last) last.shouldKeepAlive = false;
    drop(line, socket);
  }

  function drop(line: Line, socket: Socket): void {
    line.dropped += 1;
    if (line.dropped > MAX_DROPPED) socket.destroy();
    else socket.pause();
  }
}
