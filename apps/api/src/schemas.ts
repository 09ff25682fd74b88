import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import { isCurrency, MAX_AMOUNT, MAX_TOTAL } from '#kernel/money.js';
import { PROBLEMS, type ProblemCode } from '#kernel/problem.js';
import { parseSnowflake } from '#kernel/snowflake.js';
import { isReadable } from '#kernel/text.js';

/**
 * The pieces that every route's schemas are made of. Requests: strict objects whose money, ids and times come out as
 * `bigint` and milliseconds. Responses: loose objects (they may carry more fields than shown), everything a string.
 */

const MAX_METADATA_KEYS = 50;
const MAX_METADATA_VALUE = 500;
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
/** PostgreSQL's timestamptz and the Snowflake both hold these years; nothing real lies outside. */
const OLDEST_TIME_MS = Date.UTC(1900, 0, 1);
const NEWEST_TIME_MS = Date.UTC(2200, 0, 1);
const RFC_3339 = /^(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Digits, or a JSON integer that a double holds exactly. Undefined for anything else. */
function parseMoney(value: unknown, signed: boolean): bigint | undefined {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) && (signed || value >= 0) ? BigInt(value) : undefined;
  }
  if (typeof value !== 'string' || value.length > 40) return undefined;
  return (signed ? /^-?[0-9]+$/ : /^[0-9]+$/).test(value) ? BigInt(value) : undefined;
}

/** Money in a request: at least one minor unit. Above 2^53-1 the ledger itself refuses (`amount_out_of_range`). */
export const amountIn = z
  .unknown()
  .transform((value, ctx) => {
    const amount = value === undefined ? undefined : parseMoney(value, false);
    if (amount === undefined) {
      return fail(
        ctx,
        value === undefined
          ? 'is required'
          : 'must be a string of digits or a JSON integer of at most 2^53-1, in minor units',
      );
    }
    return amount > 0n ? amount : fail(ctx, 'must be at least 1');
  })
  .meta({
    id: 'AmountIn',
    description: 'Minor units of the currency: a string of digits, or a JSON integer of at most 2^53-1. At least 1.',
    oneOf: [
      { type: 'string', pattern: '^[0-9]+$' },
      { type: 'integer', minimum: 1, maximum: Number(MAX_AMOUNT) },
    ],
    examples: ['12500'],
  });

/** Money that may be none, such as a fee: within what the ledger takes. */
export const amountOrZeroIn = z
  .unknown()
  .transform((value, ctx) => {
    const amount = parseMoney(value, false);
    return amount !== undefined && amount <= MAX_AMOUNT
      ? amount
      : fail(ctx, 'must be a string of digits or a JSON integer of at most 2^53-1, in minor units');
  })
  .meta({
    id: 'AmountOrZeroIn',
    description: 'Minor units of the currency: a string of digits, or a JSON integer, of at most 2^53-1.',
    oneOf: [
      { type: 'string', pattern: '^[0-9]+$' },
      { type: 'integer', minimum: 0, maximum: Number(MAX_AMOUNT) },
    ],
    examples: ['12500'],
  });

/** A floor for a balance: minor units, may be negative. */
export const floorIn = z
  .unknown()
  .transform((value, ctx) => {
    const floor = parseMoney(value, true);
    if (floor === undefined) return fail(ctx, 'must be a string of digits or a JSON integer, in minor units');
    const inRange = floor <= MAX_TOTAL && floor >= -MAX_TOTAL;
    return inRange ? floor : fail(ctx, `must lie between -${MAX_TOTAL} and ${MAX_TOTAL}`);
  })
  .meta({
    id: 'FloorIn',
    description: 'Minor units, may be negative: a string of digits or a JSON integer within ±(2^53-1).',
    oneOf: [{ type: 'string', pattern: '^-?[0-9]+$' }, { type: 'integer' }],
    examples: ['0'],
  });

/** A version of an account, in conditions. */
export const versionIn = z
  .unknown()
  .transform((value, ctx) => {
    const version = parseMoney(value, false);
    return version !== undefined && version <= MAX_TOTAL ? version : fail(ctx, 'must be a whole number, 0 or more');
  })
  .meta({
    id: 'VersionIn',
    description: 'The version of an account.',
    oneOf: [
      { type: 'string', pattern: '^[0-9]+$' },
      { type: 'integer', minimum: 0 },
    ],
    examples: ['3'],
  });

/** Money in a response: minor units as a decimal string. */
export const amountOut = z
  .string()
  .regex(/^-?[0-9]+$/)
  .meta({ id: 'Amount', description: 'Minor units of the currency as a decimal string.', examples: ['12500'] });

/** A Snowflake in a body or a query. In a path use `@PathId`: what is no id is simply not found there. */
export const idIn = z
  .string('must be an id: a decimal string')
  .transform((value, ctx) => parseSnowflake(value) ?? fail(ctx, 'must be an id: a decimal string'))
  .meta({
    id: 'IdIn',
    description: 'A Snowflake as a decimal string.',
    pattern: '^[1-9][0-9]{0,18}$',
    examples: ['251658240000004096'],
  });

export const idOut = z
  .string()
  .regex(/^[1-9][0-9]{0,18}$/)
  .meta({ id: 'Id', description: 'A Snowflake as a decimal string.', examples: ['251658240000004096'] });

/** RFC 3339 with any offset → milliseconds since 1970; finer digits are cut off. */
export const timestampIn = z
  .string('must be an RFC 3339 time')
  .transform((value, ctx) => {
    const timeMs = parseTimestamp(value);
    return timeMs ?? fail(ctx, 'must be an RFC 3339 time such as 2026-11-21T17:09:00.000Z, of the years 1900 to 2199');
  })
  .meta({
    id: 'TimestampIn',
    description: 'RFC 3339, any offset.',
    format: 'date-time',
    examples: ['2026-11-21T17:09:00.000Z'],
  });

export const timestampOut = z.string().meta({
  id: 'Timestamp',
  description: 'RFC 3339 UTC with milliseconds.',
  format: 'date-time',
  examples: ['2026-11-21T17:09:00.000Z'],
});

/** Of what may count since ever: null. */
export function timeOrEver(ms: number): string | null {
  return ms === -Infinity ? null : isoTime(ms);
}

export function parseTimestamp(text: string): number | undefined {
  const match = RFC_3339.exec(text);
  if (!match) return undefined;
  const [, date, time, fraction = '', offset] = match as unknown as [
    string,
    string,
    string,
    string | undefined,
    string,
  ];
  const localMs = Date.parse(`${date}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}Z`);
  // Date.parse reads 2026-02-30 as the 2nd of March; such a day is refused rather than moved.
  if (Number.isNaN(localMs) || !new Date(localMs).toISOString().startsWith(date)) return undefined;
  const timeMs = localMs - offsetMs(offset);
  return timeMs >= OLDEST_TIME_MS && timeMs < NEWEST_TIME_MS ? timeMs : undefined;
}

function offsetMs(offset: string): number {
  if (offset === 'Z' || offset === 'z') return 0;
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4));
  return (offset[0] === '-' ? -minutes : minutes) * 60_000;
}

export const currencyIn = z
  .string('must be an ISO 4217 code')
  .refine(isCurrency, 'must be a current ISO 4217 code, such as EUR')
  .meta({ id: 'CurrencyIn', description: 'ISO 4217.', pattern: '^[A-Z]{3}$', examples: ['EUR'] });

export const currencyOut = z
  .string()
  .regex(/^[A-Z]{3}$/)
  .meta({ id: 'Currency', description: 'ISO 4217.', examples: ['EUR'] });

/** A line of text of 1 to `max` characters. NUL and lone surrogates are refused when the body is read. */
export function textIn(max: number) {
  return z.string('must be a string').min(1, 'must not be empty').max(max, `must have at most ${max} characters`);
}

/** The same of what people have to be able to read: not white space alone, nor what nobody sees. */
export function readableIn(max: number) {
  return textIn(max).refine(isReadable, 'must have something that can be read');
}

/** For routes that need no body: none, an empty one or `{}`. A field that nobody reads is a mistake that the client wants told. */
export const noFields = z.strictObject({}).optional().meta({ id: 'NoFields' });

const metadata = z
  .record(
    z.string().min(1).max(64),
    z.union([z.string().max(MAX_METADATA_VALUE), z.int(), z.boolean()], {
      error: `must be a string of at most ${MAX_METADATA_VALUE} characters, an integer or a boolean`,
    }),
  )
  .meta({ examples: [{ order: '6735' }] });

/**
 * The client's own names and values. Numbers must be integers that a double holds exactly, as everywhere. Too many are not looked
 * into: unlike an array, a record would be told a fault for each of a thousand.
 */
export const metadataIn = z
  .preprocess((value, ctx) => {
    const count = value !== null && typeof value === 'object' ? Object.keys(value).length : 0;
    return count > MAX_METADATA_KEYS ? fail(ctx, `must have at most ${MAX_METADATA_KEYS} keys`) : value;
  }, metadata)
  .meta({ id: 'MetadataIn', description: `Up to ${MAX_METADATA_KEYS} of the client's own names and values.` });

export const metadataOut = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
  .meta({ id: 'Metadata', description: "The client's own names and values." });

/** `limit` and `cursor` of every list; spread into `z.strictObject({...listQuery, …filters})`. */
export const listQuery = {
  limit: z
    .string('must be given once')
    .regex(/^[0-9]{1,4}$/, `must be a whole number from 1 to ${MAX_LIMIT}`)
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= MAX_LIMIT, `must be a whole number from 1 to ${MAX_LIMIT}`)
    .default(DEFAULT_LIMIT)
    .meta({
      description: `1 to ${MAX_LIMIT}, default ${DEFAULT_LIMIT}. A page may have fewer, even none: \`has_more\` says whether it is the last.`,
      type: 'integer',
      minimum: 1,
      maximum: MAX_LIMIT,
      default: DEFAULT_LIMIT,
    }),
  cursor: z
    .string('must be given once')
    .max(1_024, 'is not a cursor of this list')
    .optional()
    .meta({ description: '`next_cursor` of the page before, with the same filters.' }),
};

/** A page, newest first. */
export function listOf<Item extends z.ZodType>(item: Item, id: string) {
  return z
    .looseObject({
      data: z.array(item),
      has_more: z.boolean(),
      next_cursor: z.string().nullable().meta({ description: 'Opaque; null on the last page.' }),
    })
    .meta({ id });
}

const codes = Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]];

export const problem = z
  .looseObject({
    type: z.string().meta({ examples: ['https://counterfoil.dev/problems/not_found'] }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(codes),
    trace_id: z.string().regex(/^[0-9a-f]{32}$/),
    errors: z.array(z.looseObject({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' });

function fail(ctx: z.RefinementCtx, message: string): never {
  ctx.addIssue({ code: 'custom', message });
  return z.NEVER;
}

export const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** In a merchant's time zone. */
export const dayIn = z
  .string('must be a day, YYYY-MM-DD')
  .refine(isDay, 'must be a day, YYYY-MM-DD, of the years 1900 to 2199')
  .meta({ id: 'DayIn', description: 'In the merchant’s time zone.', format: 'date', examples: ['2026-11-21'] });

function isDay(text: string): boolean {
  if (!DAY.test(text) || text < '1900' || text >= '2200') return false;
  const ms = Date.parse(`${text}T00:00:00Z`);
  // Date.parse reads 2026-02-30 as the 2nd of March.
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}
