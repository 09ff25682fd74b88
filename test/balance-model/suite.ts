import { Redis } from 'ioredis';
import { type PrivateRedis, privateRedis } from '../support/redis.js';
import { type Exploration, explore } from './explore.js';
import { LuaKey } from './lua-key.js';
import { type Mutant, mutate } from './mutants.js';
import { eviction, F, FT, keyLoss, type Protocol, processes, T } from './protocol.js';
import { exploreTimed, type TimedExploration, type TimedRule } from './timed.js';

/** The suites that a mutant is tried on, in the order of its `steps`. */
export const COLUMNS: readonly Protocol[] = [processes(F), eviction(F), keyLoss(FT), keyLoss(T)];

/** The scripts as they are in the note's suite F, whose fills invalidate nothing: only to compare the counts. */
export const FILL_THAT_DOES_NOT_INVALIDATE = { file: 'fill', find: 'else\n  invalidate(version)\nend', replace: 'end' };

/** A Redis of the exploration's own. Scripts that are patched alike share what is known of them. */
export class Suite {
  readonly #server: PrivateRedis;
  readonly redis: Redis;
  readonly #known = new Map<string, LuaKey>();

  private constructor(server: PrivateRedis) {
    this.#server = server;
    this.redis = new Redis(server.url);
  }

  static async open(): Promise<Suite> {
    return new Suite(await privateRedis());
  }

  async close(): Promise<void> {
    this.redis.disconnect();
    await this.#server.stop();
  }

  /** Explores and prints what was found. */
  async explore(protocol: Protocol, maxStates?: number): Promise<Exploration> {
    const patches = JSON.stringify(protocol.patches);
    const lua = this.#known.get(patches) ?? new LuaKey(this.redis, protocol.patches);
    this.#known.set(patches, lua);
    const before = lua.counts.ran;
    const found = await explore(protocol, lua, maxStates);
    const verdict = found.bad ? `FAILS in ${found.trace.length}` : found.exhausted ? 'holds' : 'not exhausted';
    console.log(
      `model | ${protocol.name} | ${protocol.writers} writes, ${protocol.readers} fillers | ${verdict} | ${found.states} states, ` +
        `${found.transitions} transitions, depth ${found.depth}, ${lua.counts.ran - before} new calls of the scripts${counterexample(found)}`,
    );
    return found;
  }

  /** Steps of the shortest counterexample in each column where the mutant exists; 0 where everything was explored in vain. */
  async stepsOf(mutant: Mutant, columns: (steps: number) => boolean = () => true): Promise<(number | '–')[]> {
    const found: (number | '–')[] = [];
    for (const [index, protocol] of COLUMNS.entries()) {
      const expected = mutant.steps[index] as number | '–';
      if (expected === '–' || !columns(expected)) {
        found.push(expected);
        continue;
      }
      const { trace, bad, exhausted } = await this.explore(mutate(protocol, mutant));
      if (!bad && !exhausted) throw new Error(`${mutant.name} was not exhausted`);
      found.push(trace.length);
    }
    return found;
  }

  async exploreTimed(rule: TimedRule): Promise<TimedExploration> {
    const found = await exploreTimed(this.redis, rule);
    const verdict = found.trace.length > 0 ? `FAILS in ${found.trace.length}` : 'holds';
    console.log(
      `model | deadlines: ${rule.name} | ${rule.versions} versions, ${rule.readers} fillers | ${verdict} | ${found.states} states, ` +
        `${found.transitions} transitions, ${found.ran} calls of the scripts${counterexample({ ...found, bad: undefined })}`,
    );
    return found;
  }
}

function counterexample({ trace, bad }: { trace: readonly string[]; bad: string | undefined }): string {
  if (trace.length === 0) return '';
  const lines = trace.map((step, index) => `    ${String(index + 1).padStart(2)} ${step}`);
  return `\n${lines.join('\n')}${bad ? `\n       => ${bad}` : ''}`;
}
