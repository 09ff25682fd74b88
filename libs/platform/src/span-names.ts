/**
 * The words of spans, in one place: OpenTelemetry's semantic conventions where they have one (HTTP and databases 1.x, messaging as of
 * 1.45), `counterfoil.` where they have none. Whatever is set on a span under these is an id, a number, a name or a code: never a text of
 * a merchant's, an amount, a key or a secret.
 */
export const ATTRIBUTE = {
  merchantId: 'counterfoil.merchant_id',
  transactionId: 'counterfoil.transaction_id',
  outcome: 'counterfoil.outcome',
  replayed: 'counterfoil.replayed',
  operator: 'counterfoil.operator',
  groupRequests: 'counterfoil.group.requests',
  groupAttempt: 'counterfoil.group.attempt',
  cacheResult: 'counterfoil.cache.result',
  consumer: 'counterfoil.consumer',
  events: 'counterfoil.events',

  httpMethod: 'http.request.method',
  httpRoute: 'http.route',
  httpStatus: 'http.response.status_code',
  urlPath: 'url.path',
  urlScheme: 'url.scheme',
  serverAddress: 'server.address',
  serverPort: 'server.port',

  dbSystem: 'db.system.name',
  dbSummary: 'db.query.summary',
  dbBatchSize: 'db.operation.batch.size',
  dbRows: 'db.response.returned_rows',
  /** PostgreSQL's SQLSTATE. */
  dbStatus: 'db.response.status_code',

  messagingSystem: 'messaging.system',
  messagingOperationType: 'messaging.operation.type',
  messagingOperationName: 'messaging.operation.name',
  messagingDestination: 'messaging.destination.name',
  messagingMessageId: 'messaging.message.id',
  messagingBatchSize: 'messaging.batch.message_count',

  errorType: 'error.type',
  exceptionType: 'exception.type',
} as const;

/** Of a span of a statement, or of several that are sent together, under this name. */
export function postgresAttributes(summary: string): Record<string, string | number> {
  return { [ATTRIBUTE.dbSystem]: 'postgresql', [ATTRIBUTE.dbSummary]: summary };
}

/** Of calls of a script in one pipeline. */
export function redisAttributes(summary: string, calls: number): Record<string, string | number> {
  const one = { [ATTRIBUTE.dbSystem]: 'redis', [ATTRIBUTE.dbSummary]: summary };
  return calls > 1 ? { ...one, [ATTRIBUTE.dbBatchSize]: calls } : one;
}
