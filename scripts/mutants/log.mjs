import { inFile } from './mutant.mjs';

const LOG = 'test/log-output.test.ts';
const STARTS = 'test/shutdown-process.test.ts';

/**
 * Planted bugs of a log that cannot be written, or that nobody reads, and of processes that end beside it.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const LOG_MUTANTS = [
  ...inFile('libs/platform/src/log-output.ts', LOG, [
    ['a log that cannot be written ends its process', 'if (error) this.#failed(error);', 'if (error) throw error;'],
    ['lines that wait have no bound', 'if (this.#waitingBytes + bytes > WAITING_BYTES) {', 'if (bytes < 0) {'],
    ['letters are counted for bytes', 'const bytes = Buffer.byteLength(line);', 'const bytes = line.length;'],
    ['a flush behind a write waits for more', ' || this.#onFlushed.length > 0) this.#next();', ') this.#next();'],
    ['dropped lines are not counted', 'this.dropped += 1;', ''],
    ['the last lines wait for more', 'setInterval(() => this.#next(), TOGETHER_MS).unref();', ''],
    ['the rest of a write is lost', 'this.#inHand = rest?.length ? rest : undefined;', 'this.#inHand = undefined;'],
    ['an exit waits for a write that hangs', 'endTheHardWay(this.#uncaught);', ''],
    ['what waits at the exit is lost', 'while (rest.length > 0) rest', 'if (rest.length < 0) rest'],
    ['who fails beside a log that hangs does not say why', 'if (uncaught !== undefined)', 'if (false)'],
  ]),
  ...inFile('libs/platform/src/process-end.ts', LOG, [
    ['there is no grace', '}, graceMs + CLOSE_EXTRA_MS)', '}, CLOSE_EXTRA_MS)'],
    ['an end has no deadline', 'logOutput().giveUp(); process.exit(exitCode);', ''],
    ['a second signal ends nothing', 'return endProcess(logger, 1, AT_ONCE_MS);', 'return;'],
  ]),
  ...['api', 'worker'].flatMap((name) =>
    inFile(`apps/${name}/src/main.ts`, STARTS, [
      [
        `a start that failed waits for its log: ${name}`,
        'endProcess(logger, 1);',
        'logger.flush(() => process.exit(1));',
      ],
    ]),
  ),
];
