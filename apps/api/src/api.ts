import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Limits } from '#limits/limits.js';
import { createLogger, type Logger, NestLog } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { MetricsServer } from '#platform/metrics-server.js';
import { randomHex } from '#platform/random-hex.js';
import { Telemetry } from '#platform/telemetry.js';
import { Authenticator } from '#tenancy/authenticator.js';
import { Strangers } from '#tenancy/strangers.js';
import type { Config } from '../../config.js';
import { apiModule } from './app.module.js';
import { serveBoard } from './board.js';
import type { ExampleIds } from './example-ids.js';
import { HeldBytes, UnsentAnswers } from './held-bytes.js';
import { frameworkErrorHandler, installLifecycle } from './lifecycle.js';
import { mayLast } from './long-uploads.js';
import { metricsOf, RequestTimes } from './metrics.js';
import { serveOpenApi } from './openapi.js';
import { documentOf, GUARDING_HEADERS, HttpRefusal, ProblemFilter, untraced } from './problems.js';
import { Shutdown } from './shutdown.js';
import { serveInTurn } from './turns.js';

const MAX_HEADER_BYTES = 16_384;
/** Ids are 19 digits; a longer path segment names nothing. */
const MAX_PARAM_LENGTH = 256;

export interface Api {
  readonly app: NestFastifyApplication;
  /** Where it listens, without a slash at the end. */
  readonly url: string;
  /** Undefined without METRICS_PORT. */
  readonly metricsUrl: string | undefined;
  /** Has the documentation show these in its paths. */
  readonly showExampleIds: (ids: ExampleIds) => void;
  /** Drains, then closes; within the grace of the configuration. */
  stop(): Promise<void>;
}

/** The API, listening. The schema must be there; `/readyz` says whether it is current. */
export async function startApi(config: Config, parts: { logger?: Logger; telemetry?: Telemetry } = {}): Promise<Api> {
  const logger = parts.logger ?? createLogger({ level: config.logLevel, service: 'counterfoil-api' });
  const telemetry =
    parts.telemetry ??
    Telemetry.start({
      otlpEndpoint: config.otelExporterOtlpEndpoint,
      sampleRatio: config.traceSampleRatio,
      slowMs: config.traceSlowMs,
      serviceName: 'counterfoil-api',
    });
  const app = await NestFactory.create<NestFastifyApplication>(
    await apiModule({ config, logger, telemetry, service: 'api' }),
    adapterOf(config, logger),
    { logger: new NestLog(logger), abortOnError: false, bodyParser: false },
  );
  try {
    const shutdown = app.get(Shutdown);
    const fastify = app.getHttpAdapter().getInstance();
    const server = fastify.server as Server;
    server.headersTimeout = config.headersTimeoutMs;
    // How often the two timeouts are looked at; Node's default of 30 s would stretch a shorter one to that.
    server.requestTimeout = config.bodyTimeoutMs;
    // Without these Node itself says "go on" to a stranger's body, and 417 without a problem.
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      server.on(event, (request, response) => server.emit('request', request, response));
    }
    const requests = new RequestTimes();
    const authenticator = app.get(Authenticator);
    const unsent = new UnsentAnswers({
      bytes: config.unsentLimitBytes,
      merchantBytes: config.unsentMerchantLimitBytes,
      timeoutMs: config.writeTimeoutMs,
    });
    const bodies = new HeldBytes({ bytes: config.bodiesLimitBytes, merchantBytes: config.bodiesMerchantLimitBytes });
    fastify.addHook('onClose', async () => unsent.stop());
    installLifecycle(fastify as never, {
      config,
      logger,
      telemetry,
      authenticator,
      strangers: app.get(Strangers),
      shutdown,
      requests,
      limits: app.get(Limits),
      unsent,
      bodies,
    });
    app.useGlobalFilters(new ProblemFilter(logger));
    const showExampleIds = serveOpenApi(app);
    serveBoard(app, { logger, authenticator });
    const pipelined = new HeldBytes({ bytes: config.pipelinedLimitBytes, merchantBytes: config.pipelinedLimitBytes });
    serveInTurn(server, config.pipelineLimit, pipelined);
    const metrics = await openMetrics(config, () =>
      metricsOf(app, { requests, inHand: () => shutdown.inHand, unsent, bodies, pipelined }),
    );
    fastify.addHook('onClose', async () => metrics?.close());
    await app.listen({ port: config.port, host: config.host });
    return {
      app,
      url: urlOf(config.host, (server.address() as AddressInfo).port),
      metricsUrl: metrics && `${urlOf(config.host, metrics.port)}/metrics`,
      showExampleIds,
      stop: async () => {
        await shutdown.drain(server, { delayMs: config.shutdownDelayMs, graceMs: config.shutdownGraceMs });
        await app.close();
      },
    };
  } catch (error) {
    await app.close();
    throw error;
  }
}

async function openMetrics({ host, metricsPort, metricsAllow }: Config, of: () => Metrics) {
  if (metricsPort === 0) return undefined;
  return MetricsServer.listen(of(), { host, port: metricsPort, allow: metricsAllow });
}

function adapterOf(config: Config, logger: Logger): FastifyAdapter {
  const options = {
    logger: false,
    trustProxy: false,
    bodyLimit: config.bodyLimitBytes,
    keepAliveTimeout: config.keepAliveTimeoutMs,
    requestTimeout: config.bodyTimeoutMs,
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      // refuseOddHead looks for it, and answers with a problem.
      requireHostHeader: false,
      headersTimeout: config.headersTimeoutMs,
      requestTimeout: config.bodyTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, config.headersTimeoutMs),
    },
    frameworkErrors: frameworkErrorHandler(logger),
    clientErrorHandler: refuseUnreadable,
  };
  return new FastifyAdapter(options as never) as FastifyAdapter;
}

/** What is no HTTP, or comes too slowly, never becomes a request. The bare socket still gets a problem. */
function refuseUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (mayLast(error, socket)) return;
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new HttpRefusal(408, 'Request Timeout', 'The request was not sent in time.')
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? new HttpRefusal(431, 'Request Header Fields Too Large', 'The headers are too large.')
        : new HttpRefusal(400, 'Bad Request', 'The request is not valid HTTP.');
  const traceId = randomHex(16);
  const body = JSON.stringify(documentOf(refusal, traceId));
  const head = [
    `HTTP/1.1 ${refusal.status} ${refusal.title}`,
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(GUARDING_HEADERS).map(([name, value]) => `${name}: ${value}`),
    `traceresponse: ${untraced(traceId)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function urlOf(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}
