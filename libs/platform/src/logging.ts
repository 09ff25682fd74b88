import type { LoggerService } from '@nestjs/common';
import pino from 'pino';
import { logOutput } from './log-output.js';

export type Logger = pino.Logger;

/** Never logged, whatever object they arrive in. Log fields are chosen by hand; this is the second line of defence. */
const SECRETS = ['authorization', 'Authorization', 'secret', 'password', 'api_key', 'apiKey', 'connectionString'];
const REDACTED = [...SECRETS, ...SECRETS.map((name) => `*.${name}`), ...SECRETS.map((name) => `*.*.${name}`)];

/** Structured logs, one JSON object a line on standard output. */
export function createLogger(
  options: { level: string; service: string },
  destination?: pino.DestinationStream,
): Logger {
  return pino(
    {
      level: options.level,
      base: { service: options.service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
    },
    destination ?? logOutput(),
  );
}

/** Nest's own messages, as lines of the same log. Its start-up chatter is debug. */
export class NestLog implements LoggerService {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  log(message: unknown, ...rest: unknown[]): void {
    this.#write('debug', message, rest);
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.#write('error', message, rest);
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.#write('warn', message, rest);
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.#write('debug', message, rest);
  }
  verbose(message: unknown, ...rest: unknown[]): void {
    this.#write('trace', message, rest);
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.#write('fatal', message, rest);
  }

  #write(level: 'trace' | 'debug' | 'warn' | 'error' | 'fatal', message: unknown, rest: unknown[]): void {
    const context = rest.at(-1);
    const err = message instanceof Error ? message : undefined;
    this.#logger[level](
      { context, err, stack: rest.length > 1 ? rest[0] : undefined },
      err ? err.message : String(message),
    );
  }
}
