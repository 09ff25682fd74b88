import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Connections with a body under way that has a deadline of its own. */
const LONG = new WeakSet<Socket>();

/** Until its answer, BODY_TIMEOUT_MS does not end the request: Node knows that one for all requests of a server. */
export function lastLong({ raw }: FastifyRequest, reply: FastifyReply): void {
  LONG.add(raw.socket);
  reply.raw.once('close', () => LONG.delete(raw.socket));
}

/** Whether what Node tells of the connection is only that its body takes long, and may. Node tells it once for each request. */
export function mayLast(error: NodeJS.ErrnoException, socket: Socket): boolean {
  return error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && LONG.has(socket);
}
