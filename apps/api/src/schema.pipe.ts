import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import { z } from 'zod';
import { type FieldError, ProblemError } from '#kernel/problem.js';
import { inTurns } from '#platform/turns.js';
import { unstorable } from './json-reader.js';

/** Enough to mend a request; a batch of 1,000 bad items does not get a megabyte of answers. */
const MAX_ERRORS = 100;

/** `2026-11-21T18:09:00 01:00` */
const A_PLUS_THAT_BECAME_A_SPACE = /^\d{4}-\d{2}-\d{2}[Tt][\d:.]+ \d{2}:\d{2}$/;

/**
 * Validates what a route names with `@Body({schema})` or `@Query({schema})` and hands on the schema's output. Synchronous,
 * unlike Nest's own pipe, but for long lists, and tells faults as the contract does: `validation_failed` with dotted paths.
 */
export class SchemaPipe implements PipeTransform {
  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    const schema = metadata.schema as z.ZodType | undefined;
    if (!schema) return value;
    if (metadata.type === 'query') refuseUnstorable(value as Record<string, unknown>);
    const long = longListOf(schema, value);
    if (long !== undefined) return transformInTurns(schema as z.ZodObject, value as Record<string, unknown>, long);
    return validated(schema, value, { root: metadata.type === 'query' ? 'query' : 'body' });
  }
}

/** `root`: what a fault of the whole is called. Throws `validation_failed` with at most `most` errors. */
export function validated<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  { root, most = MAX_ERRORS }: { root: string; most?: number },
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw refusal(result.error.issues, value, root, most);
}

async function transformInTurns(schema: z.ZodObject, value: Record<string, unknown>, list: string): Promise<unknown> {
  const checked = await validateInTurns(schema, value, list, MAX_ERRORS);
  if ('data' in checked) return checked.data;
  throw refusal(checked.issues, value, 'body');
}

function refusal(issues: readonly z.core.$ZodIssue[], value: unknown, root: string, most = MAX_ERRORS): ProblemError {
  const errors = fieldErrors(issues, value, root, most);
  const [first] = errors;
  return new ProblemError('validation_failed', `${first?.path}: ${first?.message}`, { errors });
}

export function fieldErrors(
  issues: readonly z.core.$ZodIssue[],
  value: unknown,
  root: string,
  most = MAX_ERRORS,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const issue of issues) {
    if (errors.length >= most) break;
    const path = issue.path.map(String);
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys.slice(0, most - errors.length)) {
        errors.push({ path: [...path, key].join('.'), message: 'is not a known field' });
      }
    } else {
      errors.push({
        path: path.join('.') || root,
        message: messageOf(issue, value, root),
      });
    }
  }
  return errors;
}

function messageOf(issue: z.core.$ZodIssue, value: unknown, root: string): string {
  const given = root === 'query' ? (value as Record<PropertyKey, unknown>)[issue.path[0] ?? ''] : undefined;
  if (Array.isArray(given)) return 'must be given once';
  if (typeof given === 'string' && A_PLUS_THAT_BECAME_A_SPACE.test(given)) {
    return 'has a space where a time has its offset: in a query + is a space, so write %2B, or Z';
  }
  return isMissing(value, issue.path) ? 'is required' : plain(issue);
}

function isMissing(value: unknown, path: readonly PropertyKey[]): boolean {
  let at = value;
  for (const key of path) {
    if (at === null || typeof at !== 'object') return false;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at === undefined;
}

/** zod's own sentences begin with "Invalid input: expected …" and such; ours follow the path, so they start small. */
function plain(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return `must be ${article(issue.expected)}`;
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
  return issue.message;
}

function article(type: string): string {
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function refuseUnstorable(query: Record<string, unknown>): void {
  for (const [path, value] of Object.entries(query)) {
    const fault = typeof value === 'string' ? unstorable(value) : undefined;
    if (fault) throw new ProblemError('validation_failed', `${path}: ${fault}`, { errors: [{ path, message: fault }] });
  }
}

type Issue = z.core.$ZodIssue;
type Checked = { data: unknown } | { issues: Issue[] };

/** Elements of a list that are validated at once: a millisecond or two of the largest. */
const MAX_AT_ONCE = 20;

/** The member of the value that is a list too long for that. */
function longListOf(schema: z.ZodType, value: unknown): string | undefined {
  if (!(schema instanceof z.ZodObject) || value === null || typeof value !== 'object') return undefined;
  return Object.keys(schema.shape).find((name) => {
    const list = (value as Record<string, unknown>)[name];
    return schema.shape[name] instanceof z.ZodArray && Array.isArray(list) && list.length > MAX_AT_ONCE;
  });
}

/**
 * Validates as `schema.safeParse` does, the elements of the list a few at a time, and ends once there are more faults than
 * anybody is told.
 */
async function validateInTurns(
  schema: z.ZodObject,
  value: Record<string, unknown>,
  name: string,
  maxIssues: number,
): Promise<Checked> {
  const list = schema.shape[name] as z.ZodArray;
  const frame = frameOf(schema, name).safeParse(value);
  // A list of the wrong length is not looked into.
  if (!frame.success) return { issues: frame.error.issues };
  const data: unknown[] = [];
  const issues: Issue[] = [];
  await inTurns(value[name] as unknown[], (item, index) => {
    const checked = z.safeParse(list.element, item);
    if (checked.success) data.push(checked.data);
    else for (const issue of checked.error.issues) issues.push({ ...issue, path: [name, index, ...issue.path] });
    return issues.length < maxIssues;
  });
  return issues.length > 0 ? { issues } : { data: { ...frame.data, [name]: data } };
}

const frames = new WeakMap<z.ZodObject, z.ZodObject>();

/** The same schema with a list of anything. Every route has one such list at most. */
function frameOf(schema: z.ZodObject, name: string): z.ZodObject {
  const known = frames.get(schema);
  if (known) return known;
  const list = schema.shape[name] as z.ZodArray;
  const frame = schema.extend({ [name]: list.clone({ ...list._zod.def, element: z.unknown() } as never) });
  frames.set(schema, frame as unknown as z.ZodObject);
  return frame as unknown as z.ZodObject;
}
