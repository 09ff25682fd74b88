import { INVALID_SPAN_CONTEXT, trace } from '@opentelemetry/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { invalid, notFound, ProblemError } from '#kernel/problem.js';
import { parseSnowflake } from '#kernel/snowflake.js';
import type { Charge } from '#limits/charge.js';
import type { Limits } from '#limits/limits.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import { ATTRIBUTE } from '#platform/span-names.js';
import type { Telemetry } from '#platform/telemetry.js';
import { spanTime, traceIdOf } from '#platform/tracing.js';
import type { Authenticator, Caller } from '#tenancy/authenticator.js';
import type { Operator } from '#tenancy/operator.js';
import type { Strangers } from '#tenancy/strangers.js';
import type { Config } from '../../config.js';
import { holdBody, readJsonBody } from './bodies.js';
import { beginCharge, countBody, endCharge, tellLimit } from './charging.js';
import { compressed } from './compression.js';
import type { RouteAccess } from './documented.js';
import type { HeldBytes, UnsentAnswers } from './held-bytes.js';
import { encodingRefusal, hasBody, KnownRoutes, refuseOddHead, streamRefusal } from './http-rules.js';
import { serialized } from './json-text.js';
import { lastLong } from './long-uploads.js';
import type { RequestTimes } from './metrics.js';
import { guardPage } from './page-guard.js';
import { GUARDING_HEADERS, sendProblem } from './problems.js';
import { RefusalLines } from './refusal-lines.js';
import type { RequestState } from './request.js';
import { RequestEnd } from './request-end.js';
import { authenticated, waitForUnits } from './request-spans.js';
import type { Shutdown } from './shutdown.js';

const BEARER = /^Bearer +([\x21-\x7e]{1,256})$/i;
/** What nginx logs for a client that did not wait. */
const CLIENT_CLOSED_REQUEST = 499;
const UNAUTHORIZED = 401;
/** For asking again whether a key is valid, once its request has lasted for a while. */
const KEY_CHECK_TIMEOUT_MS = 2_000;
/** From so many characters on an answer is written as bytes: of a text that waits to be taken, libuv keeps three for each. */
const LONG_ANSWER = 16_384;
/** Bytes of a streamed body that are held for its route; Fastify knows no 0. */
const NOTHING_HELD = 1;
/** Of a request whose caller is not known yet. */
const NO_SPAN = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

const GUARDING = Object.entries(GUARDING_HEADERS);

export interface LifecycleParts {
  config: Config;
  logger: Logger;
  telemetry: Telemetry;
  authenticator: Authenticator;
  strangers: Strangers;
  shutdown: Shutdown;
  requests: RequestTimes;
  limits: Limits;
  unsent: UnsentAnswers;
  /** Bodies of requests that are not answered yet. */
  bodies: HeldBytes;
}

/**
 * What happens to every request outside of its route, in plain Fastify hooks: a Nest guard runs only after the body has been
 * read, so that a stranger could make us parse megabytes. Hooks call back and are no async functions: a promise less per hook.
 */
export function installLifecycle(fastify: FastifyInstance, parts: LifecycleParts): void {
  const { config, logger, telemetry, shutdown, limits } = parts;
  const routes = new KnownRoutes();
  const refusals = new RefusalLines(config.logRefusalsPerSecond);

  fastify.decorateRequest('state', null);
  fastify.setReplySerializer(serialized);
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if ((request.routeOptions.config as RouteAccess).rawBody) return void done(null, body);
    try {
      const value = readJsonBody(body as Buffer);
      if (value instanceof Promise) value.then((read) => done(null, read), done);
      else done(null, value);
    } catch (error) {
      done(error as Error);
    }
  });

  fastify.addContentTypeParser('*', (request, body, done) => {
    if ((request.routeOptions.config as RouteAccess).streamedBody) done(null, body);
    else done(new ProblemError('unsupported_media_type', 'Send the body as application/json.'));
  });

  fastify.addHook('onRoute', (route) => {
    const { largeBody, rawBody, streamedBody } = (route.config ?? {}) as RouteAccess;
    route.bodyLimit = largeBody ? config.batchBodyLimitBytes : config.bodyLimitBytes;
    if (rawBody) route.bodyLimit = config.providerWebhookBytes;
    if (streamedBody) route.bodyLimit = NOTHING_HELD;
    routes.add(route);
    guardPage(route);
  });

  fastify.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.state && hasBody(request)) countBody(request, request.state);
    done(null, payload);
  });

  // Behind the serialisation. A problem is always sent: it is small, and tells why.
  fastify.addHook('onSend', (request, reply, payload, done) => {
    if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) {
      hold(request, reply, payload);
      request.state?.end.served();
      return void done();
    }
    const merchantId = request.state?.context?.merchantId;
    const answer = typeof payload === 'string' && payload.length >= LONG_ANSWER ? Buffer.from(payload) : payload;
    const bytes = Buffer.byteLength(answer);
    request.state?.cost.addBytes(bytes);
    request.state?.end.served();
    const isRead = request.method === 'GET' && reply.statusCode < 300;
    const refusal = isRead ? parts.unsent.refusal(merchantId, bytes) : undefined;
    if (refusal) return void done(refusal);
    const packed = compressed(request, reply, answer);
    if (packed === undefined) return finish(answer);
    packed.finally(parts.unsent.hold(merchantId, bytes)).then(finish, done);

    function finish(ready: string | Buffer): void {
      hold(request, reply, ready);
      done(null, ready);
    }
  });

  /** Until the client has taken it; a stream of events has limits of its own. */
  function hold(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
    // Who has gone will not take it, and its end has been told already.
    if (payload === undefined || payload === null || reply.raw.destroyed) return;
    if (String(reply.getHeader('content-type')).startsWith('text/event-stream')) return;
    const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : ((payload as Buffer).length ?? 0);
    reply.raw.once('close', parts.unsent.add(request.raw.socket, request.state?.context?.merchantId, bytes));
  }

  fastify.addHook('onRequest', (request, reply, done) => {
    shutdown.requestBegan();
    if (shutdown.isDraining) reply.header('connection', 'close');
    for (const [name, value] of GUARDING) reply.header(name, value);
    const state = announce();
    request.state = state;
    // Unlike Fastify's onResponse this also comes when the client goes away before its answer.
    reply.raw.once('close', () => {
      shutdown.requestEnded();
      state.end.close();
      const status = reply.raw.writableFinished ? reply.statusCode : CLIENT_CLOSED_REQUEST;
      parts.requests.add(request.method, request.routeOptions.url, status, state);
      telemetry.endRequest(state.span, status);
      logOutcome({ logger, refusals }, request, status, state);
    });
    const begin = (isTrusted: boolean) => beginTrace(request, reply, state, isTrusted);
    try {
      refuseOddHead(request);
      if (isSigned(request)) watchSignature(request, reply, parts.strangers);
      const askedAt = spanTime();
      const pending = authorise(request, state, { authenticator: parts.authenticator, begin });
      if (pending) pending.finally(() => authenticated(state.span, askedAt)).then(() => goOn(), goOn);
      else goOn();
    } catch (error) {
      goOn(error as Error);
    }

    /** `refused`: by what is known of its head, whoever asks. */
    function goOn(refused?: Error): void {
      begin(config.traceparentTrust === 'everybody');
      const why = request.is404 ? elsewhere(request, reply) : refused;
      const charge = beginCharge(limits, request, state, why === undefined);
      if (charge instanceof Promise) waitForUnits(state.span, charge).then((one) => takeIn(one, why), done);
      else takeIn(charge, why);
    }

    function takeIn(charge: Charge | undefined, refused: Error | undefined): void {
      state.charge = charge;
      state.end.onOver(() => endCharge(state));
      // Its client did not wait for us to know whose it is, or for its merchant's budget.
      if (reply.raw.closed) return;
      if (charge) tellLimit(charge, reply);
      const { streamedBody } = request.routeOptions.config as RouteAccess;
      const refusal =
        charge?.refusal() ??
        refused ??
        (streamedBody
          ? streamRefusal(request, streamedBody)
          : (encodingRefusal(request) ?? holdBody(request, state, parts.bodies)));
      // Here and not by way of Fastify's and Nest's handlers of errors: it is what floods are answered.
      if (refusal) return void sendProblem(logger, refusal, request, reply);
      state.end.serve();
      if (streamedBody) lastLong(request, reply);
      // Only now: who waits for it has not sent its body.
      if (request.headers.expect !== undefined) reply.raw.writeContinue();
      done();
    }
  });

  /** Said before a body is read, like everything that does not depend on it. */
  function elsewhere(request: FastifyRequest, reply: FastifyReply): ProblemError {
    const { error, allow } = routes.refusal(request.url.split('?', 1)[0] ?? '');
    if (allow !== undefined) reply.header('allow', allow);
    return error;
  }

  /**
   * Starts the request's span, once it is known whose it is: a stranger does not choose what is sampled, nor whose trace its
   * request is in. Each answer carries the trace's id (W3C Trace Context, level 3, draft).
   */
  function beginTrace(request: FastifyRequest, reply: FastifyReply, state: RequestState, isTrusted: boolean): void {
    if (state.span !== NO_SPAN) return;
    const { method, url } = request;
    const { traceparent } = request.headers;
    const route = request.routeOptions.url ?? '';
    state.span = telemetry.startRequest(
      { method, route, path: () => toldPath(url, route), startedMs: state.startedMs },
      isTrusted && typeof traceparent === 'string' ? traceparent : undefined,
    );
    const { traceId, spanId, traceFlags } = state.span.spanContext();
    reply.header('traceresponse', `00-${traceId}-${spanId}-0${traceFlags}`);
  }

  function announce(): RequestState {
    return {
      startedMs: performance.now(),
      span: NO_SPAN,
      deadline: Deadline.after(config.requestDeadlineMs),
      context: undefined,
      operator: undefined,
      payer: undefined,
      isStillAdmitted: undefined,
      cost: new Cost(config.listScanRows),
      end: new RequestEnd(),
      charge: undefined,
      problem: undefined,
    };
  }
}

/** The route with the ids that were asked for: whatever else stands in a path might be a key that strayed there. */
function toldPath(url: string, route: string): string {
  const asked = url.split('?', 1)[0]?.split('/') ?? [];
  return route
    .split('/')
    .map((part, index) => (part.startsWith(':') && /^\d{1,19}$/.test(asked[index] ?? '') ? asked[index] : part))
    .join('/');
}

/** Whether its signature is checked in place of a key, once its body is there. */
function isSigned({ routeOptions }: FastifyRequest): boolean {
  const { access, rawBody } = routeOptions.config as RouteAccess;
  return access === 'public' && rawBody === true;
}

/** Throws `rate_limited` for who has sent too many that were wrong, before the body is read. */
function watchSignature({ raw }: FastifyRequest, reply: FastifyReply, strangers: Strangers): void {
  const attempt = strangers.begin(raw);
  reply.raw.once('close', () => attempt.end(reply.statusCode !== UNAUTHORIZED));
}

export function keyOf(request: FastifyRequest): string | undefined {
  return BEARER.exec(request.headers.authorization ?? '')?.[1];
}

/** Finds out who asks and gives the request its merchant. Throws, or rejects, with what the caller is told. */
function authorise(
  request: FastifyRequest,
  state: RequestState,
  { authenticator, begin }: { authenticator: Authenticator; begin: (isTrusted: boolean) => void },
): Promise<void> | undefined {
  const { access, takesQuery } = request.routeOptions.config as RouteAccess;
  const key = keyOf(request);
  const isNowhere = request.is404 && key !== undefined;
  if (!isNowhere && (access === undefined || access === 'public')) return undefined;
  if (key === undefined) throw new ProblemError('unauthorized', 'Send an API key: Authorization: Bearer <key>.');
  const admit = (caller: Caller | undefined) => {
    if (!caller) throw new ProblemError('unauthorized', 'The API key is not valid, or has been revoked.');
    begin(true);
    if (caller.kind === 'operator') setOperator(state, caller.operator);
    else state.payer = { merchantId: caller.merchantId, byOperator: false };
    if (isNowhere) return undefined;
    const unknown = takesQuery ? undefined : Object.keys(request.query as object)[0];
    if (unknown !== undefined) throw invalid(unknown, 'is not a known query parameter');
    if (access !== 'merchant' && caller.kind === 'merchant') {
      throw new ProblemError(
        'forbidden',
        'This route is for operators of the platform: it takes an operator’s key (cfo_…), and this is a merchant’s (cfm_…).',
      );
    }
    return access === 'operator' ? undefined : actForMerchant(request, state, caller, authenticator);
  };
  state.isStillAdmitted = async () =>
    (await authenticator.authenticate(key, Deadline.after(KEY_CHECK_TIMEOUT_MS), request.raw)) !== undefined;
  const caller = authenticator.authenticate(key, state.deadline, request.raw);
  return caller instanceof Promise ? caller.then(admit) : admit(caller);
}

/** The merchant of the caller's own key, or the one that an operator names. A foreign one is told as an unknown one. */
function actForMerchant(
  request: FastifyRequest,
  state: RequestState,
  caller: Caller,
  authenticator: Authenticator,
): Promise<void> | undefined {
  const header = request.headers['counterfoil-merchant'];
  if (header === undefined) {
    if (caller.kind === 'merchant') return setMerchant(state, caller.merchantId);
    throw invalid('Counterfoil-Merchant', 'an operator names the merchant that it acts for in this header');
  }
  const merchantId = typeof header === 'string' ? parseSnowflake(header) : undefined;
  if (merchantId === undefined) throw notFound('merchant');
  if (caller.kind === 'merchant') {
    if (caller.merchantId !== merchantId) throw notFound('merchant');
    return setMerchant(state, merchantId);
  }
  return authenticator.isMerchant(merchantId, state.deadline).then((exists) => {
    if (!exists) throw notFound('merchant');
    setMerchant(state, merchantId);
  });
}

/** Logs and traces tell who did what by name. */
function setOperator(state: RequestState, operator: Operator): void {
  state.operator = operator;
  state.payer = { merchantId: undefined, byOperator: true };
  state.span.setAttribute(ATTRIBUTE.operator, operator.name);
}

function setMerchant(state: RequestState, merchantId: bigint): undefined {
  const { span, cost } = state;
  state.context = { merchantId, deadline: state.deadline.under(span), span, cost };
  state.payer = { merchantId, byOperator: state.operator !== undefined };
  state.span.setAttribute(ATTRIBUTE.merchantId, String(merchantId));
}

function logOutcome(
  { logger, refusals }: { logger: Logger; refusals: RefusalLines },
  request: FastifyRequest,
  status: number,
  state: RequestState,
): void {
  if (!logger.isLevelEnabled('info')) return;
  const leftOut = isFreeRefusal(status, state) ? refusals.next(state.problem ?? 'none') : 0;
  if (leftOut === undefined) return;
  logger.info(
    {
      trace_id: traceIdOf(state.span),
      // The span's id: unlike the trace's it differs when a client repeats a request.
      request_id: state.span.spanContext().spanId,
      merchant_id: state.context && String(state.context.merchantId),
      operator: state.operator?.name,
      method: request.method,
      route: request.routeOptions.url,
      status,
      code: state.problem,
      left_out: leftOut || undefined,
      duration_ms: Math.round((performance.now() - state.startedMs) * 100) / 100,
    },
    'request',
  );
}

/** Whoever is known to ask pays for every other one. */
function isFreeRefusal(status: number, { payer, problem }: RequestState): boolean {
  return status >= 400 && (payer === undefined || problem === 'rate_limited');
}

/** What cannot even be routed, such as %-escapes that are none. */
export function frameworkErrorHandler(logger: Logger) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void =>
    sendProblem(logger, error, request, reply);
}
