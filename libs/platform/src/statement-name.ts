import { LRUCache } from 'lru-cache';

/** Texts are few, but some are put together; what is beyond is worked out again. */
const names = new LRUCache<string, string>({ max: 1_000 });
/** The rows that a statement writes, or else those that it reads first: tables' names are written small, keywords large. */
const WRITES = /\b(INSERT INTO|UPDATE|DELETE FROM) "?([a-z_]+)/;
const READS = /(?<!DISTINCT )\bFROM "?([a-z_]+)"?(?![a-z_"(.])/;

/**
 * How a statement is called in traces: by the name that it is prepared under, or as OpenTelemetry has it for those without one, `INSERT
 * webhooks`. Never by its text: that may be long, and one day contain what was to be a parameter.
 */
export function statementName({ name, text }: { name?: string; text: string }): string {
  const key = name ?? text;
  let found = names.get(key);
  if (found === undefined) {
    found = name === undefined ? summaryOf(text) : name.replaceAll('-', ' ');
    names.set(key, found);
  }
  return found;
}

function summaryOf(text: string): string {
  const [, verb, table] = WRITES.exec(text) ?? [];
  if (verb !== undefined) return `${verb.split(' ')[0]} ${table}`;
  const read = READS.exec(text)?.[1];
  const [first = ''] = /[A-Z]+/.exec(text) ?? [];
  return read === undefined ? first : `SELECT ${read}`;
}
