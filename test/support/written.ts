import { Redis } from 'ioredis';
import { asAdmin } from './database.js';

const TABLES = `SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY relname`;

/** Every row of every table as text, by table. */
export async function tablesOf(ownerUrl: string): Promise<Map<string, string>> {
  return asAdmin(ownerUrl, async (owner) => {
    const { rows } = await owner.query<{ relname: string }>(TABLES);
    const texts = new Map<string, string>();
    for (const { relname } of rows) {
      const { rows: lines } = await owner.query<{ line: string }>(`SELECT t::text AS line FROM "${relname}" t`);
      texts.set(relname, lines.map(({ line }) => line).join('\n'));
    }
    return texts;
  });
}

/** Every key of a Redis with what it holds, whatever its type. */
export async function keysOf(url: string): Promise<string> {
  const redis = new Redis(url);
  try {
    // Serialised values are compressed otherwise.
    await redis.config('SET', 'rdbcompression', 'no');
    const keys = await redis.keys('*');
    const values = await Promise.all(keys.map((key) => redis.dumpBuffer(key)));
    return keys.map((key, index) => `${key} ${values[index]?.toString('latin1')}`).join('\n');
  } finally {
    redis.disconnect();
  }
}

/** A secret, and what it looks like when somebody has encoded it. */
export function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  const inner = secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : undefined;
  return [
    secret,
    encodeURIComponent(secret),
    bytes.toString('hex'),
    base64,
    bytes.toString('base64url'),
    ...(inner === undefined ? [] : [inner, Buffer.from(inner, 'base64').toString('hex')]),
  ];
}
