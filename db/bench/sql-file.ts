import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The SQL files stay in the source tree; this file runs from `dist/db/bench`. */
const FOLDER = join(import.meta.dirname, '..', '..', '..', 'db', 'bench');

/** Where a file of db/bench lies, for tools that want a path. */
export function sqlPath(name: string): string {
  return join(FOLDER, name);
}

/** A file of db/bench with its `:names` filled in. The values are ours: nothing is escaped. Throws on a name without value. */
export function sqlFile(name: string, values: Record<string, string | number | bigint> = {}): string {
  return readFileSync(sqlPath(name), 'utf8')
    .replace(/^--.*$/gm, '')
    .replace(/(?<!:):([a-z]\w*)/g, (_, key: string) => {
      const value = values[key];
      if (value === undefined) throw new Error(`${name} wants a value for :${key}`);
      return String(value);
    });
}
