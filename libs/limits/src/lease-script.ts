import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** Redis' own time, in milliseconds since 1970: processes compare no clocks. Tests put a clock of theirs in its place. */
const CLOCK = `local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
`;

export interface LeaseScript {
  readonly text: string;
  readonly sha: string;
}

/** `package.json` names the folder, and that name leads there from the sources, from `dist` and in the container image. */
function source(): string {
  return readFileSync(createRequire(import.meta.url).resolve('#limits/lua/lease.lua'), 'utf8');
}

export function leaseScript(clock = CLOCK): LeaseScript {
  const body = source();
  const flagsEnd = body.indexOf('\n') + 1;
  const text = `${body.slice(0, flagsEnd)}${clock}${body.slice(flagsEnd)}`;
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}
