import { readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import type { Build } from '../histories/servers.js';

const LIST = 'dist/apps/rooms.js';
const SEARCH = 'ROOMS = [';
const TEST = join(import.meta.dirname, '..');

/**
 * The compiled services get one more room: `room`, written with `PLANTED`, which `source` (a file of this folder's parent) exports as
 * `name`: no room of the service has that name.
 */
export function plantRoom({ folder }: Build, source: string, name: string, room: string): void {
  const list = join(folder, LIST);
  const rooms = readFileSync(list, 'utf8');
  if (rooms.split(SEARCH).length !== 2) throw new Error(`${LIST} does not have exactly one "${SEARCH}"`);
  const compiled = stripTypeScriptTypes(readFileSync(join(TEST, source), 'utf8'), { mode: 'transform' });
  writeFileSync(join(folder, 'dist/apps/planted.js'), compiled);
  writeFileSync(
    list,
    `import { ${name} as PLANTED } from './planted.js';\n${rooms.replace(SEARCH, `${SEARCH}${room}, `)}`,
  );
}
