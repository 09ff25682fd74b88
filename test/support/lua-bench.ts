import { Redis } from 'ioredis';
import { inject } from 'vitest';
import { assembleScript, luaSource, SCRIPT_NAMES, type ScriptName } from '#balances/scripts.js';

/** The scripts' clock in tests: the last argument. So far ahead that Redis' own expiry never interferes. */
const TEST_CLOCK = `local function clock()
  return tonumber(ARGV[#ARGV])
end
`;
export const T0 = Date.UTC(2100, 0, 1);

/** A planted bug: in this file, exactly one occurrence of `find` becomes `replace`. */
export interface LuaPatch {
  file: string;
  find: string;
  replace: string;
}

export type LuaTexts = Readonly<Record<ScriptName, string>>;

/** The real scripts with a clock of the test's, and with bugs when asked. */
export function luaTexts(patches: readonly LuaPatch[] = []): LuaTexts {
  const source = (name: string): string => {
    if (name === 'clock') return TEST_CLOCK;
    let text = luaSource(name);
    for (const { file, find, replace } of patches) {
      if (file !== name) continue;
      if (text.split(find).length !== 2) throw new Error(`"${find}" is not there exactly once in ${file}.lua`);
      text = text.replace(find, () => replace);
    }
    return text;
  };
  return Object.fromEntries(SCRIPT_NAMES.map((name) => [name, assembleScript(name, source)])) as LuaTexts;
}

export interface KeyState {
  fields: Record<string, string>;
  /** Milliseconds since 1970; undefined: no TTL, or no key. */
  expiresAt: number | undefined;
}

/** Runs single scripts on one key at a time of the test's choosing. */
export class LuaBench {
  readonly redis: Redis;
  readonly #texts: LuaTexts;
  readonly #key: string;

  constructor(key: string, url = inject('redisUrl')) {
    this.redis = new Redis(url, { maxRetriesPerRequest: 0 });
    this.#key = key;
    this.#texts = luaTexts();
  }

  run(script: ScriptName, args: readonly (string | number)[], nowMs = T0): Promise<unknown> {
    return this.redis.eval(this.#texts[script], 1, this.#key, ...args, nowMs);
  }

  async state(): Promise<KeyState> {
    const fields = await this.redis.hgetall(this.#key);
    const expiresAt = (await this.redis.call('PEXPIRETIME', this.#key)) as number;
    return { fields, expiresAt: expiresAt < 0 ? undefined : expiresAt };
  }

  async clear(): Promise<void> {
    await this.redis.del(this.#key);
  }

  close(): void {
    this.redis.disconnect();
  }
}
