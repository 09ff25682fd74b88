import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { findAccounts } from '#payments/providers/account-store.js';
import { Deadline } from '#platform/deadline.js';
import { type Answer, type Answering, IdempotentRequests, knowsKey } from '#platform/idempotency.js';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { traceparentOf } from '#platform/tracing.js';
import { ReportQueue } from '../jobs/report-queue.js';
import type { ReadingLimits } from '../reading/limits.js';
import { readReport } from '../reading/read-report.js';
import { SOURCES, type Source } from '../reading/sources.js';
import type { Report } from '../reports/report.js';
import { findReport } from '../reports/report-store.js';
import type { ReconciliationSettings } from '../settings.js';
import { reportBytes } from './report-bytes.js';
import { givenUp, StagedReport } from './staged-report.js';
import { markReceived } from './staging-store.js';
import { Uploads } from './uploads.js';

export interface AskedReport {
  readonly source: Source;
  readonly askedBy: string;
  readonly periodFromMs: number | undefined;
  readonly periodToMs: number | undefined;
  readonly slaDays: number | undefined;
}

export interface ReportBody {
  readonly stream: Readable;
  /** The report in the body, such as the part of a form that it is. */
  readonly contents: (bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;
}

export interface ReportAnswering {
  /** The request's Idempotency-Key. */
  readonly key: string | undefined;
  /** What makes it the same request, of the digest of the report. */
  readonly digestOf: (reportSha256: Buffer) => Buffer;
  readonly status: number;
  readonly bodyOf: (report: Report) => { body: object };
}

/**
 * Takes a report in as it comes, and has it matched. One that breaks off leaves nothing but its failure. Throws what reading and bounds of
 * uploads refuse.
 */
export class ReceiveReportCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    readonly asked: AskedReport,
    readonly body: ReportBody,
    readonly answering: ReportAnswering,
  ) {
    super();
  }
}

@CommandHandler(ReceiveReportCommand)
export class ReceiveReportHandler implements ICommandHandler<ReceiveReportCommand> {
  constructor(
    private readonly database: Database,
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly uploads: Uploads,
    private readonly queue: ReportQueue,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(CONFIG) private readonly config: ReconciliationSettings,
  ) {}

  async execute(command: ReceiveReportCommand): Promise<Answer> {
    const end = this.uploads.begin(command.context.merchantId);
    try {
      const answer = await this.#receive(command);
      this.uploads.ended[answer.replayed ? 'replayed' : 'received'] += 1;
      return answer;
    } catch (error) {
      this.uploads.ended[isRefusal(error) ? 'refused' : 'broken_off'] += 1;
      throw error;
    } finally {
      end();
    }
  }

  async #receive(command: ReceiveReportCommand): Promise<Answer> {
    const { context, asked, answering } = command;
    const { key } = answering;
    // What is known is only read again, for its digest.
    const isKnown = key !== undefined && (await knowsKey(this.database, context.merchantId, key, this.#stepDeadline()));
    const traceContext = traceparentOf(context.span);
    const slaDays = asked.slaDays ?? this.config.reconciliationSlaDays;
    const id = this.ids.next();
    const { merchantId } = context;
    const staged = new StagedReport(this.#staging(), { merchantId, id, ...asked, slaDays, traceContext });
    try {
      const digest = createHash('sha256');
      for await (const batch of this.#batches(command, digest)) if (!isKnown) await staged.add(batch);
      const received = isKnown ? undefined : await staged.finish();
      const answer = await this.requests.answer(
        merchantId,
        this.#bounds(context),
        shownAs(answering, digest),
        async (client) => {
          const isReceived = received && (await markReceived(client, { merchantId, id }, received));
          if (!isReceived) throw givenUp();
          return (await findReport(client, merchantId, id)) as Report;
        },
      );
      if (answer.replayed) await staged.fail('Another upload with its Idempotency-Key had been answered.');
      else this.queue.addSoon(merchantId, traceContext);
      return answer;
    } catch (error) {
      await this.#giveUp(staged, error);
      throw error;
    } finally {
      staged.stop();
      this.uploads.staged.read += staged.rows;
      this.uploads.staged.bad += staged.badRows;
    }
  }

  /** Of the report, which is counted and hashed on its way. */
  async *#batches({ context, asked, body }: ReceiveReportCommand, digest: Hash) {
    const { reconciliationStallMs: stallMs, reconciliationMaxBytes: maxBytes } = this.config;
    const bounds = { deadline: context.deadline, stallMs, maxBytes, signal: this.uploads.signal };
    const report = digested(body.contents(reportBytes(body.stream, bounds)), digest);
    const accounts = await this.#accounts(context.merchantId, SOURCES[asked.source].provider);
    yield* readReport(asked.source, report, limitsOf(this.config), accounts);
  }

  /** Those that the report may be of. */
  async #accounts(merchantId: bigint, provider: string | undefined): Promise<ReadonlySet<string> | undefined> {
    if (provider === undefined) return undefined;
    return findAccounts(this.database, { merchantId, provider }, this.#stepDeadline());
  }

  async #giveUp(staged: StagedReport, error: unknown): Promise<void> {
    const why = error instanceof ProblemError ? error.message : 'Something went wrong on our side.';
    try {
      await staged.fail(why);
    } catch (later) {
      this.logger.warn({ err: later }, 'a report that broke off is tidied up later');
    }
  }

  #staging() {
    const { reconciliationStageRows: stageRows, reconciliationBadRows: badRows } = this.config;
    const silenceMs = this.config.reconciliationSilenceMs;
    return { database: this.database, stageRows, badRows, silenceMs, stepDeadline: () => this.#stepDeadline() };
  }

  #bounds({ span, cost }: RequestContext) {
    return { span, cost, deadline: this.#stepDeadline() };
  }

  #stepDeadline(): Deadline {
    return Deadline.after(this.config.reconciliationStepTimeoutMs);
  }
}

function shownAs({ key, digestOf, status, bodyOf }: ReportAnswering, digest: Hash): Answering<Report> {
  const idempotency = key === undefined ? undefined : { key, requestSha256: digestOf(digest.digest()) };
  return { idempotency, status, bodyOf };
}

function limitsOf(config: ReconciliationSettings): ReadingLimits {
  return {
    rowBytes: config.reconciliationRowBytes,
    depth: config.reconciliationXmlDepth,
    statements: config.reconciliationStatements,
    nameless: config.reconciliationNamelessRows,
  };
}

async function* digested(bytes: AsyncIterable<Buffer>, digest: Hash): AsyncGenerator<Buffer> {
  for await (const piece of bytes) {
    digest.update(piece);
    yield piece;
  }
}

/** Rather than broken off by what has nothing to do with the report. */
function isRefusal(error: unknown): boolean {
  return error instanceof ProblemError && error.status < 500 && error.code !== 'malformed_json';
}
