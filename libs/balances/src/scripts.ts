import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export const SCRIPT_NAMES = ['fence', 'unfence', 'publish', 'invalidate', 'swept', 'read', 'fill', 'heal'] as const;
export type ScriptName = (typeof SCRIPT_NAMES)[number];

export interface Script {
  readonly text: string;
  readonly sha: string;
}

/**
 * The `.lua` files stay where they are written: `package.json` names their folder (`#balances/lua/*.lua`), and that name
 * leads there from the sources, from `dist` and in the container image, without a copy step that a build could forget.
 */
export function luaSource(name: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(`#balances/lua/${name}.lua`), 'utf8');
}

/**
 * A whole script: its first line (the flags), the clock, the account, its own text. Tests pass other parts, to plant a
 * clock of their own or a bug.
 */
export function assembleScript(name: ScriptName, source: (name: string) => string = luaSource): string {
  const body = source(name);
  const flagsEnd = body.indexOf('\n') + 1;
  return `${body.slice(0, flagsEnd)}${source('clock')}${source('account')}${body.slice(flagsEnd)}`;
}

/**
 * The same script for several accounts of one merchant in one call: a call to Redis costs this process several times what
 * its work costs Redis. `KEYS` are the accounts, `ARGV` their arguments one after the other; answers in their order. The
 * verified text runs unchanged, once for each account, in a function that shadows KEYS and ARGV.
 */
export function assembleBatch(name: ScriptName): string {
  const body = luaSource(name);
  const flagsEnd = body.indexOf('\n') + 1;
  return `${body.slice(0, flagsEnd)}${luaSource('clock')}
local function one(KEYS, ARGV)
${luaSource('account')}${body.slice(flagsEnd)}
end
local replies, width = {}, #ARGV / #KEYS
for i = 1, #KEYS do
  local args = {}
  for j = 1, width do args[j] = ARGV[(i - 1) * width + j] end
  replies[i] = one({ KEYS[i] }, args)
end
return replies
`;
}

export function loadScripts(): Readonly<Record<ScriptName, Script>> {
  const scripts = SCRIPT_NAMES.map((name): [ScriptName, Script] => {
    const text = assembleBatch(name);
    return [name, { text, sha: createHash('sha1').update(text).digest('hex') }];
  });
  return Object.fromEntries(scripts) as Record<ScriptName, Script>;
}
