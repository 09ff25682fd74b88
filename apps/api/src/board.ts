import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError } from '#kernel/problem.js';
import type { Logger } from '#platform/logging.js';
import type { Authenticator } from '#tenancy/authenticator.js';
import { keyOf } from './lifecycle.js';
import { sendProblem } from './problems.js';
import { QueueViews } from './queue-views.js';

const PATH = '/board';
export interface BoardParts {
  logger: Logger;
  authenticator: Authenticator;
}

/**
 * BullMQ's queues at `/board`, to look at, for operators: what is to be done about events goes by way of the dead letters. A
 * browser sends the operator's key as the password of HTTP Basic, under any name. Without REDIS_QUEUE_URL there is no board.
 */
export function serveBoard(app: NestFastifyApplication, parts: BoardParts): void {
  const { views } = app.get(QueueViews);
  if (views.length === 0) return;
  const board = new FastifyAdapter();
  board.setBasePath(PATH);
  createBullBoard({
    queues: views.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
    serverAdapter: board,
    options: { uiConfig: { boardTitle: 'Counterfoil' } },
  });
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  fastify.register(
    (scope, _options, done) => {
      scope.addHook('onRequest', (request, reply) => admit(request, reply, parts));
      scope.register(board.registerPlugin() as never);
      done();
    },
    { prefix: PATH },
  );
}

/** The answer is sent here: the board has an error handler of its own, which knows no problems. */
async function admit(request: FastifyRequest, reply: FastifyReply, { authenticator, logger }: BoardParts) {
  try {
    await onlyOperators(request, authenticator);
    return undefined;
  } catch (error) {
    reply.header('www-authenticate', 'Basic realm="counterfoil", charset="UTF-8"');
    sendProblem(logger, error, request, reply);
    return reply;
  }
}

async function onlyOperators(request: FastifyRequest, authenticator: Authenticator): Promise<void> {
  const key = passwordOf(request) ?? keyOf(request);
  if (key === undefined) throw new ProblemError('unauthorized', 'Send an operator’s key as the password.');
  const deadline = request.state?.deadline;
  const caller = deadline && (await authenticator.authenticate(key, deadline, request.raw));
  if (!caller) throw new ProblemError('unauthorized', 'The key is not valid.');
  if (caller.kind !== 'operator') throw new ProblemError('forbidden', 'The board is for operators of the platform.');
  // A browser sends the password along with what other sites make it ask for.
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    throw new ProblemError('method_not_allowed', 'The board is for looking at.');
  }
}

/** RFC 7617: everything behind the first colon. */
function passwordOf(request: FastifyRequest): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=]{1,1024})$/i.exec(request.headers.authorization ?? '')?.[1];
  return encoded && /^[^:]*:([\x21-\x7e]{1,256})$/.exec(Buffer.from(encoded, 'base64').toString())?.[1];
}
