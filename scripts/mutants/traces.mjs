import { inFile } from './mutant.mjs';

const CONSUMERS = 'test/consumer-traces.test.ts';
const REQUESTS = 'test/request-traces.test.ts';
const RECORDER = 'libs/platform/src/span-recorder.spec.ts';

/**
 * Planted bugs of traces: what lies below what, what leads to what, who is told, and what must never be.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const TRACE_MUTANTS = [
  inFile('libs/outbox/src/dead-letters/redriver.ts', CONSUMERS, [
    [
      'a redrive’s statements have no span',
      'const deadline = Deadline.after(this.#timeoutMs).under(span);',
      'const deadline = Deadline.after(this.#timeoutMs); void span;',
    ],
    ['what catches up has no statements', 'const traced = span.clientOf(client);', 'const traced = client;'],
  ]),
  inFile('libs/ledger/src/writing/group-spans.ts', 'test/writer-spans.test.ts', [
    ['each request of a batch has a group of its own in their span', ' || seen.has(span)) return', ') return'],
  ]),
  inFile('libs/outbox/src/consumers/page-span.ts', CONSUMERS, [
    ['a page that fails does not end its spans', 'for (const span of this.#all) failSpan(span, error);', ''],
    ['a page of which nothing is traced hides that it failed', 'this.#span ??= this.#start(undefined);', ''],
    [
      'a page does not tell whose it is',
      'if (merchants.size === 1) this.#span.setAttribute(ATTRIBUTE.merchantId, String(events[0]?.merchantId));',
      '',
    ],
    [
      'a page is in no trace of its events',
      'this.#span ??= this.#start(first);',
      'this.#span ??= this.#start(undefined);',
    ],
  ]),
  inFile('libs/outbox/src/consumers/page-span.ts', 'libs/outbox/src/consumers/page-span.spec.ts', [
    ['a page leads to as many traces as it has events', '.slice(0, TRACES)', ''],
    ['who was slower than another process has failed', 'if (error instanceof ClaimLost) {', 'if (false) {'],
  ]),
  inFile('libs/outbox/src/relay/relay-spans.ts', 'libs/outbox/src/relay/relay-spans.spec.ts', [
    [
      'batches behind the first have not failed with it',
      'for (const span of spans.values()) failSpan(span, error);',
      'if (leader) failSpan(leader, error);',
    ],
    [
      'a batch does not lead to the one that it was handed over with',
      'if (leader) for (const other of others) shareWork(other, leader);',
      '',
    ],
  ]),
  inFile('libs/outbox/src/consumers/consumer-process.ts', CONSUMERS, [
    ['a consumer’s process exports nothing', 'telemetry = Telemetry.start(message.telemetry);', ''],
  ]),
  inFile('libs/platform/src/tracing.ts', CONSUMERS, [
    [
      'a span tells what its error says',
      'span.setAttribute(ATTRIBUTE.errorType, errorTypeOf(error));',
      'span.setAttribute(ATTRIBUTE.errorType, String(error));',
    ],
  ]),
  inFile('libs/platform/src/tracing.ts', 'libs/platform/src/tracing.spec.ts', [
    ['a step that is tried again leads to the same traces again', '!known.has(other) && ', ''],
    [
      'what is done in another trace does not lead to the step that did it',
      'links: [...(start.links ?? []), ...linksTo([step])]',
      'links: start.links ?? []',
    ],
  ]),
  inFile('libs/platform/src/telemetry.ts', 'libs/platform/src/telemetry.spec.ts', [
    [
      'a process ends with spans that it has not sent',
      'await this.#recorder?.options.processor.shutdown().catch(() => undefined);',
      '',
    ],
  ]),
  inFile('libs/reconciliation/src/jobs/look-again.ts', 'test/report-matching.test.ts', [
    [
      'a report is looked at again in no trace of its own',
      'const span = startFrom(traceContext, name, { attributes });',
      'const span = startFrom(undefined, name, { attributes });',
    ],
  ]),
  inFile('libs/platform/src/tracing.ts', 'libs/settlement/src/day-spans.spec.ts', [
    ['what begins a trace does not lead to where it came from', 'linkOnce(span, from);', ''],
    [
      'where it came from does not lead to it',
      "if (follows && typeof origin === 'object') linkOnce(origin, [traceparentOf(span)].filter(isSampled));",
      '',
    ],
    [
      'what begins a trace is sampled by the ratio alone',
      'const isSampledToo = follows && from.length > 0;',
      'const isSampledToo = false;',
    ],
  ]),
  inFile('libs/settlement/src/day-spans.ts', 'libs/settlement/src/day-spans.spec.ts', [
    ['a range leads to all of its days', 'this.#linked < DAYS_LINKED', 'this.#linked < Infinity'],
    ['a day’s span does not tell which day', "'counterfoil.business_date': day.day,", ''],
  ]),
  inFile('libs/settlement/src/runs/night-queue.ts', 'test/settlement-runs.test.ts', [
    [
      'a run’s trace has the jobs of all its ranges',
      'range < RANGES_LINKED ? traceContext : undefined',
      'traceContext',
    ],
  ]),
  inFile('libs/settlement/src/settler.ts', 'test/night.test.ts', [
    [
      'a day is closed in its range’s trace',
      'const context = { merchantId, ...boundsIn(span, this.#deadline(page)) };',
      'const context = { merchantId, ...page.bounds };',
    ],
  ]),
  inFile('libs/platform/src/span-recorder.ts', RECORDER, [
    [
      'traces that end together are counted by when they began',
      'this.recorder.mayKeep(root.endMs)',
      'this.recorder.mayKeep(root.startMs)',
    ],
    ['a slow trace is not kept', 'slowMs > 0 && root.durationMs >= slowMs', 'false'],
    [
      'the caller’s flag is not asked',
      '(caller ? (caller.traceFlags & TraceFlags.SAMPLED) !== 0 : this.#isDrawn(traceId))',
      'this.#isDrawn(traceId)',
    ],
    ['a trace has no end', 'this.#sent < MAX_SENT', 'this.#sent < Infinity'],
    ['a trace that is too long loses its first span', '|| span === this.root) this.recorder', ') this.recorder'],
  ]),
  inFile('libs/platform/src/recorded-span.ts', REQUESTS, [
    [
      'a step does not tell whose it is',
      'inherited === undefined ? {} : { [ATTRIBUTE.merchantId]: inherited }',
      'inherited === undefined ? {} : {}',
    ],
  ]),
  inFile('libs/platform/src/statement-name.ts', 'libs/platform/src/statement-name.spec.ts', [
    ['a statement is called by its text', "name.replaceAll('-', ' ')", 'text'],
    ['a column’s time is taken for a table', '(?![a-z_"(.])/', '(?![a-z_"(])/'],
  ]),
  inFile('libs/platform/src/span-exports.ts', 'test/slow-collector.test.ts', [
    [
      'what waits for a collector has no bound',
      'if (this.#waiting >= MAX_WAITING_SPANS) {',
      'if (this.#waiting < 0) {',
    ],
  ]),
].flat();
