import { setImmediate as othersTurn } from 'node:timers/promises';
import { z } from 'zod';

/** Elements of a list that are dealt with before others have their turn: a millisecond or two of the largest. */
const PER_TURN = 20;

type Issue = z.core.$ZodIssue;
type Checked = { data: unknown } | { issues: Issue[] };

/** Calls back with each item, in order; others have their turn in between. It ends when `work` answers false. */
export async function inTurns<T>(
  items: readonly T[],
  work: (item: T, index: number) => boolean | undefined,
): Promise<void> {
  for (const [index, item] of items.entries()) {
    if (index % PER_TURN === PER_TURN - 1) await othersTurn();
    if (work(item, index) === false) return;
  }
}

/** The member of the value that is a list too long to be validated at once. */
export function longListOf(schema: z.ZodType, value: unknown): string | undefined {
  if (!(schema instanceof z.ZodObject) || value === null || typeof value !== 'object') return undefined;
  return Object.keys(schema.shape).find((name) => {
    const list = (value as Record<string, unknown>)[name];
    return schema.shape[name] instanceof z.ZodArray && Array.isArray(list) && list.length > PER_TURN;
  });
}

/**
 * Validates as `schema.safeParse` does, the elements of the list a few at a time, and ends once there are more faults than
 * anybody is told.
 */
export async function validateInTurns(
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
